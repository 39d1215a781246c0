"""Walks every boundary of rooftune: every file that a command takes is replaced by what is no such file, and every number by what is
no such number. Whatever comes, the program ends by itself, with 0, 1 or 2, in time, and says in printable words what is wrong: never
by a signal, and never by calling it a bug of its own.

  boundaries.py PROGRAM SOURCE_DIR [--every N] [--only WORD] [--list]
"""

import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile

TIME_LIMIT_S = 120  # a silent pipe takes 5 s, a loaded machine the rest
MOST_BYTES = 300_000
BUG = b"this is a bug of rooftune"
NO_NUMBERS = ["nan", "inf", "-1", "1e308", "", "text", "0x10", "1e", "99999999999999999999", "\x1b[31m", "\xff"]
FORMATS = ["auto", "guidellm", "inference-perf", "vllm-bench", "vllm-console", "sglang", "aiperf", "llm-d", "inferencex", "otel", "blis",
           "blis-trace"]
# A member of a study that names a file.
MEMBERS = {
    "extends": "name: s\nextends: {}\n",
    "ground_truth": "name: s\nextends: {study}\ndata: {{ground_truth: [{}]}}\n",
    "models": "name: s\nextends: {study}\ndata: {{models: [{}]}}\n",
    "hardware": "name: s\nextends: {study}\ndata: {{hardware: [{}]}}\n",
    "kernels": "name: s\nextends: {study}\ndata: {{kernels: {{H100-SXM: {}}}}}\n",
    "config": "name: s\nextends: {study}\nstart: {{config: {}}}\n",
}


class Walk:
    def __init__(self, program, source):
        self.program, self.source = program, source
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="rooftune_boundaries_"))
        self.failures, self.exits = [], collections.Counter()
        self.number = 0
        self.truth = str(source / "ground_truth/l40s.json")
        self.study = self.folder / "study.yaml"
        self.study.write_text(f"name: small\nextends: {source}/experiments/physics_h100.yaml\ndata: {{select: {{id: ['20', '63']}}}}\n"
                              "free: [frontend.constant_us]\nsolver: [{algorithm: ceres_lm, max_evaluations: 2}]\n"
                              "crossval: {split: LeaveOneGroupOut, group: experiment}\n")
        self.run_folder = self.folder / "run"
        done = self.call(["fit", self.study, "--out", self.run_folder])
        if done.returncode != 0:
            sys.exit(f"cannot begin: {done.stderr.decode()}")

    def call(self, arguments):
        folder = self.folder / str(self.number)
        self.number += 1
        folder.mkdir()
        try:
            return subprocess.run([self.program, *(os.fsencode(str(a)) if isinstance(a, pathlib.Path) else
                                                   a.encode("latin-1") for a in arguments)],
                                  cwd=folder, capture_output=True, timeout=TIME_LIMIT_S, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired as late:
            return subprocess.CompletedProcess(late.cmd, -signal.SIGALRM, late.stdout or b"", late.stderr or b"")
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def check(self, what, arguments, expected=(0, 1, 2), says=None):
        result = self.call(arguments)
        said = result.stderr + result.stdout
        wrong = []
        if result.returncode not in expected:
            wrong.append(f"ended with {result.returncode}")
        if BUG in result.stderr:
            wrong.append("calls it a bug")
        if result.returncode == 1 and b"error: " not in result.stderr:
            wrong.append("names no error")
        if says and says.encode() not in result.stderr:
            wrong.append(f"does not say '{says}'")
        if len(said) > MOST_BYTES:
            wrong.append(f"prints {len(said)} bytes")
        if any(byte < 0x20 and byte != 0x0A or byte == 0x7F for byte in said):
            wrong.append("prints what a terminal obeys")
        return what, result, wrong

    def odd_inputs(self):
        """What is given in place of a file, each under a name of its own."""
        made = self.folder / "odd"
        made.mkdir()
        noise = random.Random(1).randbytes(5000)
        texts = {
            "empty": b"", "binary": noise, "zeros": bytes(5000), "bad_utf8.json": b'{"id": "\xff\xfe\xc0\x80"}',
            "bad_utf8.yaml": b"name: \xff\xfe\n", "bad_utf8.csv": b"stage,arrival_s\n\xff,\xc0\x80\n", "half.json": b'[{"id": "x", ',
            "number": b"7", "null": b"null", "list.json": b"[[], 1, null]", "object.json": b"{}", "text.txt": b"some words\nof no kind\n",
            "deep.json": b"[" * 100_000, "deep.yaml": b"{a: " * 20_000, "line": b"x" * 1_000_000, "long_number.json": b"[" + b"9" * 100_000 + b"]",
            "escapes": b"\x1b[31mred\x1b[0m: \x07\n", "header.csv": b"a,b,c\n", "other_kind.json": (self.source / "configs/tuned/h100.json").read_bytes(),
            "other_kind.yaml": (self.source / "configs/gpus.yaml").read_bytes(), "other_kind.csv": (self.source / "ground_truth/peers.csv").read_bytes(),
            "anchors.yaml": b"a: &a [x, x]\n" + b"".join(b"b%d: &%c [*%c, *%c]\n" % (i, 98 + i, 97 + i, 97 + i) for i in range(20)),
            "utf16": "name: x\n".encode("utf-16"),
        }
        for name, text in texts.items():
            (made / name).write_bytes(text)
        with open(made / "huge.json", "wb") as huge:
            huge.truncate(600 << 20)  # holes: beyond the limit, on no disk
        (made / "folder").mkdir()
        os.mkfifo(made / "pipe")
        (made / "dangling").symlink_to("nowhere")
        (made / "loop").symlink_to("loop")
        names = [made / name for name in sorted(os.listdir(made))]
        names += [made / "missing", made / ("n" * 300), made / "esc\x1b[31m\n", pathlib.Path("/dev/zero"), pathlib.Path("/dev/full"),
                  pathlib.Path("/proc/self/mem"), pathlib.Path("/"), made / "empty" / "below_a_file"]
        if os.geteuid() != 0:
            (made / "unreadable").write_text("{}")
            (made / "unreadable").chmod(0)
            (made / "closed").mkdir(0)
            names += [made / "unreadable", made / "closed" / "inside"]
        return names

    def places(self):
        """Every place of a command line where a file can stand, as a function of the file."""
        ad_hoc = ["--model", "Llama-2-7b-hf", "--rate", "2", "--duration", "2"]
        truth = ["evaluate", "--ground-truth", self.truth]
        small = [self.study, "--threads", "1"]
        for command in ["fit", "evaluate", "crossval", "onboard", "compare", "improve", "solvers", "recover", "simulate", "show", "validate",
                        "report"]:
            yield f"{command} FILE", lambda odd, command=command: [command, odd]
        yield "diff FILE RUN", lambda odd: ["diff", odd, self.run_folder]
        yield "diff RUN FILE", lambda odd: ["diff", self.run_folder, odd]
        for form in ["alpha-beta", "hardware-config"]:
            yield f"export --form {form}", lambda odd, form=form: ["export", odd, "--form", form, "--model", "Llama-2-7b-hf", "--tp", "1"]
        yield "evaluate --ground-truth", lambda odd: ["evaluate", "--ground-truth", odd]
        for option in ["--config", "--models", "--hardware", "--peers"]:
            yield f"evaluate {option}", lambda odd, option=option: [*truth, option, odd]
        yield "show --ground-truth", lambda odd: ["show", "--ground-truth", odd]
        yield "show --model", lambda odd: ["show", "--model", odd]
        for option in ["--config", "--models", "--hardware", "--replay"]:
            yield f"simulate {option}", lambda odd, option=option: ["simulate", *ad_hoc, option, odd]
        yield "simulate --gpu", lambda odd: ["simulate", *ad_hoc, "--gpu", odd]
        yield "capacity --config", lambda odd: ["capacity", "--config", odd, "--model", "Llama-2-7b-hf", "--tp", "1", "--load", "1",
                                                "--objective", "ttft_p90=1e5", "--duration", "1"]
        for option in ["--store", "--replay", "--out"]:
            yield f"fit {option}", lambda odd, option=option: ["fit", *small, option, odd]
        yield "fit --resume --out", lambda odd: ["fit", *small, "--resume", "--out", odd]
        yield "store merge STORE", lambda odd: ["store", "merge", odd, "--into", "all.sqlite"]
        yield "store merge --into", lambda odd: ["store", "merge", "none.sqlite", "--into", self.copy_of(odd)]
        yield "crossval --peers", lambda odd: ["crossval", *small, "--peers", odd]
        for option in ["--crossval", "--peers", "--vega"]:
            yield f"report {option}", lambda odd, option=option: ["report", self.run_folder, "--out", "page.html", option, odd]
        yield "recover --truth", lambda odd: ["recover", *small, "--repeats", "2", "--truth", odd]
        yield "kernels audit", lambda odd: ["kernels", "audit", odd, "--gpu", "H100-SXM"]
        yield "kernels normalise", lambda odd: ["kernels", "normalise", odd, "--gpu", "H100-SXM", "--out", "clean"]
        yield "kernels plan --model", lambda odd: ["kernels", "plan", "--model", odd, "--tp", "1"]
        said = ["--gpu", "H100-SXM", "--model", "Llama-2-7b-hf", "--tp", "1", "--id", "x", "--out", "o.json"]
        for form in FORMATS:
            yield f"import {form}", lambda odd, form=form: ["import", form, odd, *said]
        example = self.source / "tests/import_examples/synthetic_guidellm_sweep.json"
        yield "import --vllm-log", lambda odd: ["import", "guidellm", example, *said, "--vllm-log", odd]
        yield "init", lambda odd: ["init", odd, "--out", "begun"]
        for option, command in {"--csv": ["params"], "--trace": ["simulate", *ad_hoc], "--requests": ["simulate", *ad_hoc],
                                "--out": ["export", "h100", "--form", "alpha-beta", "--model", "Llama-2-7b-hf", "--tp", "1"]}.items():
            # What can be written is: outputs get copies.
            yield f"{command[0]} {option}", lambda odd, option=option, command=command: [*command, option, self.copy_of(odd)]
        for member in MEMBERS:
            yield f"study's {member}", lambda odd, member=member: ["validate" if member == "extends" else "show", self.naming(member, odd)]
        yield "ground truth's table", lambda odd: ["evaluate", "--ground-truth", self.truth_with_table(odd)]

    def copy_of(self, odd):
        """What is overwritten must not be what others are given."""
        if os.path.isfile(odd) and odd.is_relative_to(self.folder):
            copy = self.folder / f"copy{random.getrandbits(64):x}"
            copy.write_text("what was there before")
            return copy
        return odd

    def naming(self, member, odd):
        study = self.folder / f"naming{random.getrandbits(64):x}.yaml"
        study.write_text(MEMBERS[member].format(json.dumps(str(odd)), study=self.study))
        return study

    def truth_with_table(self, odd):
        experiment = json.loads(pathlib.Path(self.truth).read_text())[0]
        experiment["workload"]["arrival"] = {"process": "trace", "table": str(odd)}
        file = self.folder / f"truth{random.getrandbits(64):x}.json"
        file.write_text(json.dumps([experiment]))
        return file

    def number_flags(self, command=()):
        """Every option of every command whose help says that it takes a number."""
        text = self.call([*command, "--help"]).stdout.decode()
        for flag in re.findall(r"^\s+(?:-\w,)?(--[\w-]+) \[?(?:INT|UINT|FLOAT)\b", text, re.M):
            yield list(command), flag
        subcommands = text.partition("Subcommands:\n")[2]
        for name in re.findall(r"^  ([a-z][\w-]*) ", subcommands.partition("\n\n")[0], re.M):
            yield from self.number_flags((*command, name))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("source")
    parser.add_argument("--every", type=int, default=1, help="take one call in so many, drawn")
    parser.add_argument("--only", default="", help="places and flags that hold this word")
    parser.add_argument("--list", action="store_true", help="print every call")
    options = parser.parse_args()
    walk = Walk(str(pathlib.Path(options.program).resolve()), pathlib.Path(options.source).resolve())
    try:
        calls = []
        odd_inputs = walk.odd_inputs()
        for place, arguments in walk.places():
            for odd in odd_inputs:
                calls.append((f"{place}: {odd.name[:20]!r}", arguments(odd), (0, 1, 2), None))
        for command, flag in walk.number_flags():
            for value in NO_NUMBERS:
                calls.append((f"{' '.join(command)} {flag}: {value!r}", [*command, f"{flag}={value}"], (1,), flag))
        calls = [call for call in calls if options.only in call[0]]
        calls = random.Random(options.every).sample(calls, len(calls) // options.every)
        # Those that wait for a pipe have nothing to do meanwhile.
        calls.sort(key=lambda call: "'pipe'" not in call[0])
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for what, result, wrong in pool.map(lambda call: walk.check(*call), calls):
                walk.exits[result.returncode] += 1
                said = result.stderr.decode(errors="backslashreplace").strip()
                if options.list:
                    print(f"{result.returncode} {what}: {said[:300]}", flush=True)
                if wrong:
                    walk.failures.append(what)
                    print(f"FAILED {what}: {'; '.join(wrong)}\n    {said[:1000]!r}", flush=True)
    finally:
        shutil.rmtree(walk.folder, ignore_errors=True)
    print(f"{len(calls)} calls, exit codes {dict(walk.exits)}, {len(walk.failures)} failures")
    sys.exit(1 if walk.failures or not calls else 0)


if __name__ == "__main__":
    main()
