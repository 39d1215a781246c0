#!/usr/bin/env python3
"""Writes ground_truth/guidellm.json and ground_truth/guidellm/<run>.csv from the collected GuideLLM sweeps.

Input: a folder with runs.json (settings, per-rate aggregates) and <run>.requests.csv (server-side spans, seconds).

A run with rates gets one stage per constant rate, in the table's column `stage`; its synchronous and throughput requests are
kept with stage -1. A run of which only the spans survive is one stage: everything in the order it arrived. Arrivals are
replayed (`process: trace`). Times are those of the server's spans; the client's are given beside them where recorded.

usage: import_guidellm.py FOLDER --out ground_truth [--date YYYY-MM-DD]
"""
import csv
import json

import shipping

SOURCES = ["inference-sim@d9f61a2d,e7a4aa37:eval/ground_truth/* (aggregated as python_scripts/aggregate_ground_truth.py)"]
LICENCE = "inference-sim: Apache-2.0"

NOT_IN_A_STAGE = -1
# What one segment of the upstream aggregate may differ by: spans are rounded to microseconds in the table.
AGGREGATE_TOLERANCE_MS = 0.01
COLUMNS = (
    "stage",
    "strategy",
    "arrival_s",
    "input_tokens",
    "output_tokens",
    "prefix_group",
    "shared_prefix_tokens",
    "ttft_ms",
    "e2e_ms",
    "queue_ms",
    "client_ttft_ms",
    "client_e2e_ms",
)


def milliseconds(seconds):
    return shipping.rounded(1e3 * float(seconds)) if seconds else ""


def table_of(run, spans):
    """The rows of the run's table, as dictionaries with our column names."""
    constant_benches = sorted({int(span["bench"]) for span in spans if span["strategy"] == "constant"})
    prefix = run["workload"]["data"]["prefix_tokens"]
    rows = []
    for span in spans:
        if run["complete"]:
            bench = int(span["bench"])
            stage = constant_benches.index(bench) if bench in constant_benches else NOT_IN_A_STAGE
            arrival = float(span["arrival_offset_s"])
        else:
            stage, arrival = 0, float(span["t_s"])
        client_ttft = span.get("client_ttft_ms", "")
        rows.append(
            {
                "stage": stage,
                "strategy": span["strategy"],
                "arrival_s": arrival,
                "input_tokens": int(span["input_tokens"]),
                "output_tokens": int(span["output_tokens"]),
                "prefix_group": 0 if prefix else -1,
                "shared_prefix_tokens": prefix,
                "ttft_ms": milliseconds(span["ttft_s"]),
                "e2e_ms": milliseconds(span["e2e_s"]),
                "queue_ms": milliseconds(span["queue_s"]),
                "client_ttft_ms": shipping.rounded(float(client_ttft)) if client_ttft else "",
                "client_e2e_ms": milliseconds(span.get("client_e2e_s", "")),
            }
        )
    return rows


def measured_row(rows):
    ttft = [row["ttft_ms"] for row in rows]
    e2e = [row["e2e_ms"] for row in rows]
    output_tokens = shipping.mean([row["output_tokens"] for row in rows])
    figures = {
        "ttft_mean": shipping.mean(ttft),
        "ttft_p90": shipping.percentile(ttft, 0.90),
        "ttft_p99": shipping.percentile(ttft, 0.99),
        "e2e_mean": shipping.mean(e2e),
        "e2e_p90": shipping.percentile(e2e, 0.90),
        "e2e_p99": shipping.percentile(e2e, 0.99),
        "tpot_true_mean": (shipping.mean(e2e) - shipping.mean(ttft)) / (output_tokens - 1),
        "output_tokens_mean": output_tokens,
    }
    return {key: shipping.rounded(value) for key, value in figures.items()} | {"num_success": len(rows), "num_failure": 0}


def length(values):
    return {
        "mean": shipping.rounded(shipping.mean(values)),
        "standard_deviation": shipping.rounded(shipping.standard_deviation(values)),
        "min": min(values),
        "max": max(values),
    }


def experiment_of(run, rows, table_name):
    measured = [row for row in rows if row["stage"] != NOT_IN_A_STAGE]
    by_stage = [[row for row in measured if row["stage"] == stage] for stage in range(max(row["stage"] for row in measured) + 1)]
    if run["complete"]:
        rates = [sweep["qps"] for sweep in run["qps_sweeps"]]
        durations = [len(stage) / rate for stage, rate in zip(by_stage, rates)]
        for sweep, stage in zip(run["qps_sweeps"], by_stage):
            for ours, theirs in (("ttft_mean", "ttft_mean_ms"), ("e2e_mean", "e2e_mean_ms"), ("e2e_p90", "e2e_p90_ms")):
                assert abs(measured_row(stage)[ours] - sweep[theirs]) < AGGREGATE_TOLERANCE_MS, (run["id"], sweep["qps"], ours)
    else:
        durations = [max(row["arrival_s"] for row in measured)]
        rates = [len(measured) / durations[0]]
    output_length = length([row["output_tokens"] for row in measured])
    return {
        "id": f"guidellm-{run['id']}",
        "role": "calibration",
        "model": run["model"],
        "hardware": run["hardware"],
        "tp": run["tp"],
        "engine": "vllm",
        "vllm": run["vllm"],
        "workload": {
            "name": run["app"],
            "type": "guidellm_synthetic",
            "system_prompt_len": run["workload"]["data"]["prefix_tokens"],
            "prompt_length": length([row["input_tokens"] for row in measured]),
            "output_length": output_length,
            "stages": [
                {"rate": shipping.rounded(rate), "duration": shipping.rounded(duration), "num_requests": len(stage)}
                for rate, duration, stage in zip(rates, durations, by_stage)
            ],
            "arrival": {"process": "trace", "table": table_name},
            "effective": {"order": "unique"},
        },
        "measured": {
            "measured_at": "server",
            "summary": measured_row(measured),
            "stages": [{"stage": index, **measured_row(stage)} for index, stage in enumerate(by_stage)],
        },
        "flags": run["flags"],
    }


def main():
    arguments = shipping.parser_of(__doc__, "folder").parse_args()
    shipment = shipping.Shipment(arguments, __file__, LICENCE)
    experiments = []
    for run in json.loads((arguments.folder / "runs.json").read_text()):
        with (arguments.folder / f"{run['id']}.requests.csv").open(newline="") as file:
            rows = table_of(run, list(csv.DictReader(file)))
        table = f"guidellm/{run['id']}.csv"
        what = f"{len(rows)} requests of one GuideLLM sweep, server-side spans"
        shipment.csv(table, COLUMNS, ([row[column] for column in COLUMNS] for row in rows), what=what, sources=SOURCES)
        experiments.append(experiment_of(run, rows, table))
    shipment.json("guidellm.json", experiments, what=f"{len(experiments)} GuideLLM sweeps as experiments", sources=SOURCES)


if __name__ == "__main__":
    main()
