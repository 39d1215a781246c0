#!/usr/bin/env python3
"""Google Benchmark's JSON (stdin) as lines "name value unit"; counters follow as "name/counter value unit"."""

import json
import sys

# What every run carries; the other numbers of a run are its counters.
STANDARD = {
    "family_index", "per_family_instance_index", "repetitions", "repetition_index", "threads", "iterations", "real_time", "cpu_time",
}


def lines(report):
    for run in report["benchmarks"]:
        name = run["name"].replace(" ", "_")
        if run.get("error_occurred"):
            raise ValueError(f"{name}: {run.get('error_message', 'failed without a word')}")
        if "real_time" in run:
            yield f"{name} {run['real_time']:.6g} {run['time_unit']}"
        for key, value in run.items():
            if key not in STANDARD and isinstance(value, (int, float)) and not isinstance(value, bool):
                yield f"{name}/{key} {value:.6g} {'1/s' if key.endswith('per_second') else '1'}"


if __name__ == "__main__":
    try:
        for line in lines(json.load(sys.stdin)):
            print(line)
    except ValueError as error:
        sys.exit(f"error: {error}")
