"""Writes what commands print today into the documents that show it: README.md and docs/.

  refresh_docs.py [--program PROGRAM] [DOCUMENT...]

A fenced block behind a block of command lines shows what the last of them prints, whole or shortened. Its lines are found again in
today's output by their words (figures with a sign or a decimal point may differ) and taken over with today's figures and columns.
A line whose words nothing prints any more is left, and named: it must be mended by hand. README's table of errors names a command
in each row, and gets that command's figures.

Where the words change as well (rounds of `improve`), a comment above the block names the command, and which lines of what it prints
are shown (a regular expression; all without it); the block is written anew:

  <!-- printed by: rooftune improve experiments/improve_v1.yaml; lines: ^round|^Ended -->

Commands run one document after another in a clean copy of what a reader has, as the test of these command lines does.
Ends with 1 when something is left to mend.
"""

import argparse
import json
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/docs"))
import run_command_lines as examples  # noqa: E402  (its folder is known only here)

PRINTED_BY = re.compile(r"^<!-- printed by: rooftune (?P<command>.*?)(?:; lines: (?P<lines>.+))? -->$")
FIGURE = re.compile(r"(?<![\w.])[-+]\d+(?:\.\d+)?|(?<![\w.])\d+\.\d+(?![\w.])")


def words_of(line):
    """What stays of a line when figures, column widths and rules of tables go."""
    return re.sub(r"\s+", " ", re.sub(r"-{2,}", "--", FIGURE.sub("#", line))).strip()


def is_command_block(lines):
    return any(examples.LINE.match(line.strip()) for line in lines)


def blocks_of(text):
    """(index of the first line, lines) of every fenced block."""
    start, blocks, lines = None, [], text.splitlines()
    for number, line in enumerate(lines):
        if not line.lstrip().startswith("```"):
            continue
        if start is None:
            start = number + 1
        else:
            blocks.append((start, lines[start:number]))
            start = None
    return blocks


def refreshed(shown, printed):
    """The shown lines with today's figures, and those whose words nothing prints. Lines keep their order, so that rows of one name in
    several tables find their own."""
    today = [(words_of(line), line.rstrip()) for line in printed.splitlines()]
    result, missing, position = [], [], 0
    for line in shown:
        wanted = words_of(line)
        if wanted in ("", "..."):
            result.append(line)
            continue
        behind = [i for i in range(position, len(today)) if today[i][0] == wanted]
        anywhere = behind or [i for i, (words, _) in enumerate(today) if words == wanted]
        if not anywhere:
            missing.append(line)
            result.append(line)
            continue
        position = anywhere[0] + 1
        result.append(today[anywhere[0]][1])
    return result, missing


def chosen(printed, pattern):
    """The lines of what was printed that match; without a pattern all. Warnings and empty lines at either end go."""
    lines = [line.rstrip() for line in printed.splitlines() if "warning: " not in line and (pattern is None or re.search(pattern, line))]
    return "\n".join(lines).strip("\n").splitlines()


class Commands:
    """Command lines run in one copy of what a reader has; those that fit keep their run folder for figures."""

    def __init__(self, program):
        self.folder = tempfile.TemporaryDirectory()
        self.copy = examples.Copy(program, ROOT, pathlib.Path(self.folder.name))
        self.printed = {}

    def run(self, line):
        if line not in self.printed:
            print(f"  rooftune {line}", flush=True)
            self.printed[line] = self.copy.run(line).stdout
        return self.printed[line]

    def write(self, path, text):
        """A file that a document shows."""
        file = self.copy.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def errors_of(self, line):
        """(E2E %, TTFT %, measurements in their 90 % interval) by what is known: "" but for onboard; and those of peers by their names."""
        arguments = shlex.split(line)
        if arguments[0] == "onboard":
            return errors_of_onboarding(self.run(line))
        result = json.loads(self.run(f"{line} --json 2>/dev/null"))
        errors = result[{"fit": "after", "crossval": "held_out", "evaluate": "overall"}[arguments[0]]]
        intervals = result["intervals"]["by_metric"].values() if arguments[0] == "crossval" else []
        found = {"": (*(f"{errors[f'{latency}_mean_ms']['mean_ape_percent']:.1f}" for latency in ("e2e", "ttft")),
                      share(sum(one["inside"] for one in intervals), sum(one["measurements"] for one in intervals)))}
        for peer in result.get("peers", []):
            theirs = [peer["errors"].get(f"{latency}_mean_ms", {}).get("theirs_mean_ape_percent") for latency in ("e2e", "ttft")]
            found[peer["simulator"]] = (*(NONE if one is None else f"{one:.1f}" for one in theirs), NONE)
        return found


NONE = "–"
ROW = re.compile(r"^(\| (?P<what>[^|]+) \| \d+ \| )[\d.]+ \| [\d.]+ \| (?:\d+ of \d+|–)( \| (?:`rooftune (?P<command>[^`]+)`|as above) \|)$")
# Words of a row that tell which line of `onboard` it shows; the first that is found counts.
ONBOARDING = {"data sheet": "data sheet only", "kernel tables": "with kernel tables", "one run": "with one run", "any one of": "with one run"}


def share(inside, measurements):
    return f"{inside} of {measurements}" if measurements else NONE


def errors_of_onboarding(printed):
    """By what is known of the new GPU or version: mean errors, and measurements in their intervals over all that were onboarded."""
    inside = re.findall(r"^.*, (data sheet|kernel tables|run )[^:,]*: (\d+) of (\d+) unseen measurements inside", printed, re.M)
    steps = {"data sheet only": "data sheet", "with kernel tables": "kernel tables", "with one run": "run "}
    found = {}
    for what, e2e, ttft in re.findall(r"^(data sheet only|with kernel tables|with one run)\s+E2E\s+([\d.]+) %\s+TTFT\s+([\d.]+) %", printed, re.M):
        own = [(int(hits), int(all_)) for step, hits, all_ in inside if step == steps[what]]
        found[what] = (e2e, ttft, share(sum(hits for hits, _ in own), sum(all_ for _, all_ in own)))
    return found


def refresh_error_table(text, commands):
    """README's table: figures of each row by the command that it names; a row with a peer's name in it (`name`) has the peer's."""
    lines, above = text.splitlines(), None
    for number, line in enumerate(lines):
        row = ROW.match(line)
        if not row:
            continue
        above = row["command"] or above
        errors = commands.errors_of(above)
        named = [name for name in re.findall(r"`([^`]+)`", row["what"]) if name in errors]
        known = named[0] if named else next((ours for words, ours in ONBOARDING.items() if words in row["what"] and ours in errors), "")
        e2e, ttft, inside = errors[known]
        lines[number] = f"{row[1]}{e2e} | {ttft} | {inside}{row[3]}"
    return "\n".join(lines) + "\n"


def refresh(document, commands):
    """Writes the document; returns what is left to mend."""
    text, to_mend = refreshed_text(document.read_text(), commands)
    document.write_text(text)
    return [f"{document.relative_to(ROOT)}: {problem}" for problem in to_mend]


def refreshed_text(text, commands):
    """The text with what its commands print today, and what is left to mend."""
    lines, blocks, to_mend = text.splitlines(), [], []
    last = None
    for start, shown in blocks_of(text):
        above = PRINTED_BY.match(lines[start - 2]) if start > 1 else None
        if above:
            now = chosen(commands.run(above["command"]), above["lines"])
            if now:
                blocks.append((start, shown, now))
            else:
                to_mend.append(f"'rooftune {above['command']}' prints no line like: {above['lines']}")
            last = None
            continue
        if shown and shown[0].startswith("# file: "):
            commands.write(shown[0].removeprefix("# file: ").strip(), "\n".join(shown[1:]) + "\n")
            continue
        if is_command_block(shown):
            for _, command, _ in examples.command_lines("\n".join(["```", *shown, "```"])):
                if isinstance(command, str):
                    last = command
                    commands.run(command)
            continue
        if last is None:
            continue
        now, missing = refreshed(shown, commands.run(last))
        # A block of which nothing is printed shows something else: a file, a formula.
        if len(missing) < len([line for line in shown if line.strip()]):
            blocks.append((start, shown, now))
            to_mend += [f"'rooftune {last}' does not print: {line}" for line in missing]
        last = None
    # From the end, so that earlier line numbers hold.
    for start, shown, now in reversed(blocks):
        lines[start : start + len(shown)] = now
    return "\n".join(lines) + "\n", to_mend


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "build/release/bin/rooftune")
    parser.add_argument("documents", nargs="*", type=pathlib.Path)
    options = parser.parse_args()
    if not options.program.exists():
        sys.exit(f"error: there is no program {options.program} (build it, or name one with --program)")
    documents = [path.resolve() for path in options.documents] or [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    to_mend = []
    for document in documents:
        print(document.relative_to(ROOT), flush=True)
        commands = Commands(options.program.resolve())
        to_mend += refresh(document, commands)
        if document == ROOT / "README.md":
            document.write_text(refresh_error_table(document.read_text(), commands))
    print(subprocess.run(["git", "diff", "--stat", "--", *map(str, documents)], cwd=ROOT, text=True, capture_output=True, check=True).stdout, end="")
    print(*to_mend, sep="\n")
    sys.exit(1 if to_mend else 0)


if __name__ == "__main__":
    main()
