"""Makes system calls of rooftune fail, one at a time, and kills it at them, in every command that writes: whatever happens, the user
has the old result or the new one, never a part of it or another, and a run that can go on ends at the same bytes.

  campaign.py PROGRAM SHIM SOURCE_DIR [--calls N] [--seed S] [--only SCENARIO | --quick]

N: faults and kills of each kind of call and scenario, drawn from all there are; 0 takes every one.
"""

import argparse
import collections
import errno
import json
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

import kills

# Which failures a call can be answered with, beside the end of the process.
ANSWERS = {
    "open": [errno.EACCES, errno.ENOSPC, errno.EMFILE],
    "write": [errno.ENOSPC, errno.EIO, errno.EINTR, "short"],
    "sync": [errno.EIO],
    "rename": [errno.EACCES, errno.EIO, errno.EINVAL],
    "mkdir": [errno.ENOSPC],
    "unlink": [errno.EACCES],
    "truncate": [errno.EIO],
    "close": [errno.ENOSPC],
    "mode": [errno.EPERM],
}
TIME_LIMIT_S = 600
BUG = "this is a bug of rooftune"


class Scenario:
    """A command, what lies in its folder before, and which files are its result: names, or a function of the folder that finds
    them. `resumes`: more arguments that go on afterwards. `only_once`: refuses to do again what is done."""

    def __init__(self, name, arguments, results, prepare=None, resumes=None, takes_long=False, only_once=False):
        self.name, self.arguments, self.results, self.prepare, self.resumes = name, arguments, results, prepare, resumes
        self.takes_long, self.only_once = takes_long, only_once


def content(folder, results):
    """The results that are there: {name: bytes}."""
    names = results(folder) if callable(results) else results
    return {name: (folder / name).read_bytes() for name in names if (folder / name).is_file()}


def ground_truth_with_tables(folder):
    """The file and the tables that it names: others beside them mean nothing."""
    file = folder / "o.json"
    experiments = json.loads(file.read_text()) if file.exists() else []
    return ["o.json", *(experiment["workload"]["arrival"]["table"] for experiment in experiments)]


def files_below(name):
    """All files of a folder that is written as a whole."""
    return lambda folder: sorted(str(path.relative_to(folder)) for path in (folder / name).rglob("*")
                                 if path.is_file() and ".partial-" not in str(path))


def hidden(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob(".*") if ".partial-" in path.name)


class Campaign:
    def __init__(self, options):
        self.program, self.shim, self.source = (pathlib.Path(path).resolve() for path in (options.program, options.shim, options.source))
        self.calls, self.random = options.calls, random.Random(options.seed)
        self.counts = collections.Counter()
        self.failures = []
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="rooftune_faults_"))

    def study(self, folder, more=""):
        (folder / "study.yaml").write_text(
            f"name: small\nextends: {self.source}/experiments/physics_h100.yaml\n"
            "data: {select: {id: ['20', '63']}}\n"
            "free: [frontend.constant_us, physics.t_layer_us]\n"
            "crossval: {split: LeaveOneGroupOut, group: experiment}\n"
            "solver: [{algorithm: ceres_lm, max_evaluations: 8}]\n" + more)

    def run(self, folder, arguments, fault=None, counts=None):
        environment = {"PATH": "/usr/bin:/bin", "LD_PRELOAD": str(self.shim), "ROOFTUNE_FAULT_FOLDER": str(folder), "TMPDIR": "/tmp"}
        if fault:
            environment["ROOFTUNE_FAULT"] = fault
        if counts:
            environment["ROOFTUNE_FAULT_COUNTS"] = str(counts)
        return subprocess.run([self.program, *arguments], cwd=folder, env=environment, capture_output=True, timeout=TIME_LIMIT_S)

    def fresh(self, scenario):
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.base)).resolve()
        if scenario.prepare:
            scenario.prepare(folder)
        return folder

    def fail(self, scenario, fault, what, result=None):
        said = "" if result is None else "\n    " + result.stderr.decode(errors="replace").strip().replace("\n", "\n    ")
        self.failures.append(f"{scenario.name}, {fault}: {what}{said}")
        print("FAILED " + self.failures[-1], flush=True)

    def check(self, scenario, fault, old, new):
        folder = self.fresh(scenario)
        result = self.run(folder, scenario.arguments, fault)
        killed = fault.endswith(":kill")
        self.counts["kills" if result.returncode == -9 else "faults"] += 1
        if killed and result.returncode not in (-9, 0):
            self.fail(scenario, fault, f"ended with {result.returncode} instead of the kill", result)
        if not killed and result.returncode not in (0, 1, 2):
            self.fail(scenario, fault, f"ended with {result.returncode}", result)
        if BUG.encode() in result.stderr:
            self.fail(scenario, fault, "calls the failure a bug", result)
        if result.returncode in (1, 2) and not result.stderr.strip():
            self.fail(scenario, fault, "says nothing", result)
        there = content(folder, scenario.results)
        if result.returncode == 0 and there != new:
            self.fail(scenario, fault, f"exit code 0, but the results differ: {changed(there, new)}", result)
        if result.returncode != 0 and there not in (old, new):
            if not scenario.resumes or any(there.get(name) not in (None, text) for name, text in new.items()):
                self.fail(scenario, fault, f"neither the old results nor the new ones: {changed(there, old)}", result)
        if result.returncode != 0 and not killed and hidden(folder) and "unlink" not in fault:
            self.fail(scenario, fault, f"left behind: {hidden(folder)}", result)
        if result.returncode != 0 and not (scenario.only_once and there == new):
            self.go_on(scenario, fault, folder, new)
        shutil.rmtree(folder)

    def go_on(self, scenario, fault, folder, new):
        """Once the cause is gone the same command succeeds, and leaves what the undisturbed one does."""
        again = self.run(folder, scenario.arguments + (scenario.resumes or []))
        if again.returncode != 0:
            self.fail(scenario, fault, "cannot be done afterwards", again)
        elif content(folder, scenario.results) != new:
            self.fail(scenario, fault, f"done afterwards, the results differ: {changed(content(folder, scenario.results), new)}", again)
        elif hidden(folder):
            self.fail(scenario, fault, f"left behind: {hidden(folder)}", again)

    def run_scenario(self, scenario):
        folder = self.fresh(scenario)
        old = content(folder, scenario.results)
        counts_file = self.base / "counts"
        result = self.run(folder, scenario.arguments, counts=counts_file)
        if result.returncode != 0:
            self.fail(scenario, "no fault", f"ended with {result.returncode}", result)
            return
        new = content(folder, scenario.results)
        if not new or new == old:
            self.fail(scenario, "no fault", "writes no result", result)
            return
        shutil.rmtree(folder)
        counts = {name: int(count) for name, count in (line.split() for line in counts_file.read_text().splitlines())}
        before = self.counts.copy()
        for call, count in counts.items():
            for answer in [*ANSWERS[call], "kill"]:
                numbers = range(1, count + 1)
                if self.calls and count > self.calls:
                    numbers = sorted(self.random.sample(numbers, self.calls))
                for number in numbers:
                    self.check(scenario, f"{call}:{number}:{answer}", old, new)
        done = self.counts - before
        print(f"{scenario.name}: {done['faults']} faults, {done['kills']} kills at {sum(counts.values())} calls", flush=True)


def changed(there, expected):
    return sorted(name for name in there.keys() | expected.keys() if there.get(name) != expected.get(name))


def scenarios(campaign):
    source = campaign.source
    run_results = ["run/result.json", "run/tuned.json", "run/evaluation.json", "run/evaluation.csv", "run/study.yaml"]
    evaluate = ["evaluate", "study.yaml", "--threads", "1"]
    example = source / "tests/import_examples/synthetic_guidellm_sweep.json"
    log = source / "tests/import_examples/synthetic_vllm.log"

    def import_arguments(name):
        return ["import", "guidellm", name, "--gpu", "H100-SXM", "--vllm-log", str(log), "--id", "x", "--out", "o.json", "--force"]

    def earlier_import(folder):
        text = example.read_text()
        (folder / "first.json").write_text(text)
        (folder / "second.json").write_text(text.replace('"output_tokens": 6', '"output_tokens": 7'))
        campaign.run(folder, import_arguments("first.json"))

    def simulate_arguments(rate):
        return ["simulate", "--model", "Llama-2-7b-hf", "--rate", rate, "--duration", "5", "--trace", "steps.csv", "--chrome-trace",
                "chrome.json", "--requests", "requests.csv", "--csv", "rows.csv"]

    def earlier_simulation(folder):
        campaign.run(folder, simulate_arguments("3"))

    def earlier_csv(folder):
        campaign.study(folder)
        (folder / "rows.csv").write_text("what was there before\n")

    def own_measurements(folder):
        shutil.copytree(source / "tests/init_example", folder / "mine")

    def earlier_init(folder):
        own_measurements(folder)
        campaign.run(folder, ["init", "mine", "--workload", "another", "--out", "made"])

    def kernel_tables(folder):
        (folder / "h100").mkdir()
        for name in ("gemm.csv", "context_attention.csv"):
            shutil.copy(source / f"bench_data/h100/legacy_{name}", folder / "h100" / name)

    def studies(folder):
        for name, text in kills.studies(source).items():
            (folder / name).write_text(text)

    def earlier_run(folder):
        campaign.study(folder)
        campaign.run(folder, ["fit", "study.yaml", "--out", "run", "--threads", "1"])

    return [
        Scenario("evaluate --csv", evaluate + ["--csv", "rows.csv"], ["rows.csv"], earlier_csv),
        Scenario("export --out", ["export", str(source / "configs/tuned/h100.json"), "--form", "alpha-beta", "--model",
                                  "Llama-2-7b-hf", "--gpu", "H100-SXM", "--tp", "1", "--out", "lines.json"], ["lines.json"]),
        Scenario("simulate --trace", simulate_arguments("2"), ["steps.csv", "chrome.json", "requests.csv", "rows.csv"], earlier_simulation),
        Scenario("simulate --trace, new", simulate_arguments("2"), ["steps.csv", "chrome.json", "requests.csv", "rows.csv"]),
        Scenario("import --force", import_arguments("second.json"), ground_truth_with_tables, earlier_import),
        Scenario("fit", ["fit", "study.yaml", "--out", "run", "--threads", "1"], run_results, campaign.study, ["--resume"]),
        Scenario("crossval", ["crossval", "study.yaml", "--out", "run", "--threads", "1"], run_results, campaign.study, ["--resume"]),
        Scenario("init", ["init", "mine", "--out", "made"], files_below("made"), own_measurements, only_once=True),
        Scenario("init --force", ["init", "mine", "--out", "made", "--force"], files_below("made"), earlier_init),
        Scenario("kernels normalise", ["kernels", "normalise", "h100", "--out", "clean"], files_below("clean"), kernel_tables, only_once=True),
        Scenario("compare", ["compare", "compare.yaml", "--out", "run", "--threads", "1"],
                 ["run/result.json", "run/study.yaml"], studies, ["--resume"], takes_long=True),
        Scenario("improve", ["improve", "improve.yaml", "--out", "run", "--threads", "1"],
                 ["run/result.json", "run/tuned.json", "run/evaluation.csv"], studies, ["--resume"], takes_long=True),
        Scenario("onboard", ["onboard", str(source / "experiments/onboard_l40s.yaml"), "--out", "run", "--threads", "1"],
                 ["run/result.json", "run/evaluation.csv"], studies, ["--resume"], takes_long=True),
        Scenario("report", ["report", "run", "--out", "page.html", "--threads", "1"], ["page.html"], earlier_run),
    ]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("shim")
    parser.add_argument("source")
    parser.add_argument("--calls", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only")
    parser.add_argument("--quick", action="store_true", help="without the commands that take seconds")
    options = parser.parse_args()
    campaign = Campaign(options)
    try:
        for scenario in scenarios(campaign):
            if options.only == scenario.name or (options.only is None and not (options.quick and scenario.takes_long)):
                campaign.run_scenario(scenario)
    finally:
        shutil.rmtree(campaign.base, ignore_errors=True)
    print(f"{campaign.counts['faults']} faults, {campaign.counts['kills']} kills, {len(campaign.failures)} failures")
    sys.exit(1 if campaign.failures or not campaign.counts else 0)


if __name__ == "__main__":
    main()
