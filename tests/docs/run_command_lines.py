"""Runs the command lines that README and docs show, from a clean copy of what a reader has, and expects them to work.

  run_command_lines.py PROGRAM SOURCE_DIR [--long]

Every line of a fenced block that starts with "rooftune " or "build/release/bin/rooftune " is run, document by document, in order;
"# exits with N" behind a line names another exit code than 0. A block that begins with "# file: PATH" is written to that file.
Fits of shipped studies take long and are run with --long only; without it the run folder that they name is a small one made once,
so that the lines after them still have what they need. The same fit is run once, however many documents name it: results are
deterministic.
"""

import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

LINE = re.compile(r"^(?:build/release/bin/)?rooftune (.*?)(?:\s+#\s*(?:exits with (\d+))?.*)?$")
# Commands that fit. What they would write is stood in for unless --long.
FITTING = {"fit": "fit", "crossval": "crossval", "compare": "compare", "improve": "improve", "onboard": "onboard"}
DATA = ("configs", "experiments", "ground_truth", "bench_data", "docs", "scripts", "tests/import_examples", "tests/init_example")

SMALL_STUDY = """
name: small
data:
  ground_truth: [{source}/ground_truth/h100.json]
  select: {{id: ['64', '62']}}
start: {{step_time_model: physics}}
free: [frontend.constant_us, physics.t_layer_us]
solver: [{{algorithm: ceres_lm, max_evaluations: 20}}]
crossval: {{split: LeaveOneGroupOut, group: model}}
"""


class File:
    """A file that a document shows."""

    def __init__(self, path):
        self.path, self.lines = path, []


def command_lines(text):
    """(line number, command line, exit code) of every command in a fenced block, where a backslash continues a line; and
    (line number, File, None) of every block that is a file."""
    fenced, pending, first, file = False, "", 0, None
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            if file is not None:
                yield first, file, None
            fenced, file = not fenced, None
            continue
        if not fenced:
            continue
        if file is None and line.startswith("# file: "):
            first, file = number, File(line.removeprefix("# file: ").strip())
            continue  # JSON has no comments
        if file is not None:
            file.lines.append(line)
            continue
        first = first if pending else number
        pending += line.strip()
        if pending.endswith("\\"):
            pending = pending[:-1]
            continue
        found = LINE.match(pending)
        if found:
            yield first, found.group(1), int(found.group(2) or 0)
        pending = ""


def is_slow(arguments):
    return arguments[0] in FITTING and any(word.startswith("experiments/") for word in arguments)


def option(arguments, *names):
    return next((arguments[i + 1] for i, word in enumerate(arguments[:-1]) if word in names), None)


class Copy:
    """What a reader has after cloning and building, in a folder of its own."""

    def __init__(self, program, source, folder):
        self.source, self.folder = source, folder
        for name in DATA:
            if (source / name).is_dir():
                shutil.copytree(source / name, folder / name)
        (folder / "build/release/bin").mkdir(parents=True)
        self.program = folder / "build/release/bin/rooftune"
        self.program.symlink_to(program)
        self.stand_ins = folder / "stand-ins"
        self.stand_ins.mkdir()

    def run(self, line):
        # A shell, because lines redirect and pipe as readers would.
        shell = f'rooftune() {{ "{self.program}" "$@"; }}; rooftune {line}'
        return subprocess.run(["bash", "-o", "pipefail", "-c", shell], cwd=self.folder, text=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=3600, check=False)

    def stand_in(self, command, target):
        """A small run of the command where the line would have put its own."""
        kind = "crossval" if command == "crossval" else "fit"
        made = self.stand_ins / kind
        if not made.exists():
            study = self.stand_ins / "study.yaml"
            study.write_text(SMALL_STUDY.format(source=self.source))
            subprocess.run([str(self.program), kind, str(study), "--out", str(made)], cwd=self.folder, check=True, stdout=subprocess.DEVNULL)
        shutil.copytree(made, self.folder / target)


class Fits:
    """What fits of shipped studies gave, by arguments (but for --out) and inputs."""

    def __init__(self, folder):
        self.folder, self.known = folder, {}

    def run(self, copy, line, arguments):
        """The result, and whether it is that of an earlier run, whose run folder then lies where this line would have put it."""
        out = option(arguments, "--out")
        if "--resume" in arguments or any(sign in line for sign in "|<>") or (out and (copy.folder / out).exists()):
            return copy.run(line), False
        at = arguments.index("--out") if out else len(arguments)
        inputs = [(copy.folder / word).read_bytes() for word in arguments if (copy.folder / word).is_file()]
        # The study in a run folder names its files from there: only folders of one depth are alike.
        key = (*arguments[:at], *arguments[at + 2:], pathlib.Path(out or "runs/default").parent, *inputs)
        is_known = key in self.known
        if not is_known:
            result = copy.run(line)
            made = re.search(r"^run folder +(\S+)$", result.stdout, re.MULTILINE)
            kept = self.folder / str(len(self.known))
            if made:
                shutil.copytree(copy.folder / made.group(1), kept)
            self.known[key] = result, kept
        result, kept = self.known[key]
        if is_known and out and kept.exists():
            shutil.copytree(kept, copy.folder / out)
        return result, is_known


def main():
    program, source = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
    long = "--long" in sys.argv[3:]
    documents = [source / "README.md", *sorted((source / "docs").rglob("*.md"))]
    failures = ran = stood_in = 0
    kept = tempfile.TemporaryDirectory()
    fits = Fits(pathlib.Path(kept.name))
    for document in documents:
        lines = list(command_lines(document.read_text()))
        if not lines:
            continue
        with tempfile.TemporaryDirectory() as folder:
            copy = Copy(program, source, pathlib.Path(folder))
            for number, line, wanted in lines:
                if isinstance(line, File):
                    target = copy.folder / line.path
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_text("\n".join(line.lines) + "\n")
                    continue
                arguments = shlex.split(line)
                where = f"{document.relative_to(source)}:{number}"
                if is_slow(arguments) and not long:
                    target = option(arguments, "--out")
                    if target and not (copy.folder / target).exists():
                        copy.stand_in(arguments[0], target)
                    stood_in += 1
                    for word in arguments:
                        if word.startswith("experiments/") and not (copy.folder / word).exists():
                            failures += 1
                            print(f"{where}: there is no study {word}", flush=True)
                    continue
                start = time.monotonic()
                result, is_known = fits.run(copy, line, arguments) if is_slow(arguments) else (copy.run(line), False)
                ran += 1
                print(f"{where}: rooftune {line} ({'as before' if is_known else f'{time.monotonic() - start:.1f} s'})", flush=True)
                if result.returncode != wanted:
                    failures += 1
                    print(f"{where}: exit code {result.returncode} instead of {wanted}:\n{result.stdout}", flush=True)
    print(f"{ran} command lines run, {stood_in} left to --long, {failures} failed")
    if ran == 0:
        sys.exit("no command line was found: the documents or this test have changed their form")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
