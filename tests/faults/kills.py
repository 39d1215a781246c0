"""Kills import, improve, compare and onboard at random moments, again and again, and demands the result of an undisturbed run.

  kills.py PROGRAM SOURCE_DIR [--kills N] [--seed S]
"""

import argparse
import json
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

TIME_LIMIT_S = 900


class Command:
    """`arguments` for a folder; `results` are compared byte by byte; `goes_on`: what is added after a kill."""

    def __init__(self, name, arguments, results, goes_on=()):
        self.name, self.arguments, self.results, self.goes_on = name, arguments, results, list(goes_on)


def studies(source):
    """File names to texts."""
    return {
        "improve.yaml": f"name: small\nextends: {source}/experiments/improve_v1.yaml\n"
                        "improve: {rounds: 1, candidates: 2, seeds: 2, starts: 1}\nsolver: [{algorithm: ceres_lm, max_evaluations: 10}]\n",
        "compare.yaml": f"name: small\nextends: {source}/experiments/physics_h100.yaml\ndata: {{select: {{id: ['20', '60', '63']}}}}\n"
                        "free: [frontend.constant_us]\ncrossval: {split: LeaveOneGroupOut, group: experiment}\n"
                        "compare:\n  variants:\n    - {name: a, free: [physics.t_step_us]}\n    - {name: b, free: [physics.t_layer_us]}\n"
                        "solver: [{algorithm: ceres_lm, max_evaluations: 20}]\n",
    }


def commands(source):
    example = source / "tests/import_examples/synthetic_guidellm_sweep.json"
    log = source / "tests/import_examples/synthetic_vllm.log"

    def tables(folder):
        return ["o.json", *(item["workload"]["arrival"]["table"] for item in json.loads((folder / "o.json").read_text()))]

    run = ["run/result.json", "run/tuned.json", "run/evaluation.csv", "run/study.yaml"]
    return [
        Command("import", ["import", "guidellm", str(example), "--gpu", "H100-SXM", "--vllm-log", str(log), "--id", "x", "--out", "o.json",
                           "--force"], tables),
        Command("improve", ["improve", "improve.yaml", "--out", "run"], lambda folder: run, ["--resume"]),
        Command("onboard", ["onboard", str(source / "experiments/onboard_l40s.yaml"), "--out", "run"],
                lambda folder: ["run/result.json", "run/evaluation.csv"], ["--resume"]),
        Command("compare", ["compare", "compare.yaml", "--out", "run"], lambda folder: ["run/result.json", "run/study.yaml"], ["--resume"]),
    ]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("source")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only")
    options = parser.parse_args()
    source = pathlib.Path(options.source).resolve()
    chance = random.Random(options.seed)
    base = pathlib.Path(tempfile.mkdtemp(prefix="rooftune_kills_"))
    failures, total = [], 0
    for command in commands(source):
        if options.only not in (None, command.name):
            continue

        def new_folder():
            folder = pathlib.Path(tempfile.mkdtemp(dir=base))
            for name, text in studies(source).items():
                (folder / name).write_text(text)
            return folder

        def result_of(folder):
            return {name: (folder / name).read_bytes() for name in command.results(folder)}

        unbroken = new_folder()
        begin = time.monotonic()
        done = subprocess.run([options.program, *command.arguments], cwd=unbroken, capture_output=True, timeout=TIME_LIMIT_S)
        seconds = time.monotonic() - begin
        if done.returncode != 0:
            sys.exit(f"{command.name} ended with {done.returncode}: {done.stderr.decode()}")
        expected = result_of(unbroken)
        kills = 0
        folder = new_folder()
        for attempt in range(10 * options.kills):
            if kills == options.kills:
                break
            process = subprocess.Popen([options.program, *command.arguments, *command.goes_on], cwd=folder, stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
            time.sleep(chance.uniform(0.0, seconds))
            process.kill()
            kills += process.wait() == -9
            # Half of the kills hit a run that was killed before.
            if chance.random() < 0.5 or not command.goes_on:
                again = subprocess.run([options.program, *command.arguments, *command.goes_on], cwd=folder, capture_output=True,
                                       timeout=TIME_LIMIT_S)
                left = [path.name for path in folder.iterdir() if ".partial-" in path.name]
                if again.returncode != 0:
                    failures.append(f"{command.name}: cannot go on: {again.stderr.decode()}")
                elif result_of(folder) != expected:
                    failures.append(f"{command.name}: another result")
                if left:
                    failures.append(f"{command.name}: left behind {left}")
                shutil.rmtree(folder)
                folder = new_folder()
        total += kills
        print(f"{command.name}: {kills} kills within {seconds:.1f} s each", flush=True)
    shutil.rmtree(base, ignore_errors=True)
    for failure in failures:
        print("FAILED " + failure)
    print(f"{total} kills, {len(failures)} failures")
    sys.exit(1 if failures or total == 0 else 0)


if __name__ == "__main__":
    main()
