#!/usr/bin/env python3
"""Writes ground_truth/serving_points_<gpu>.csv: closed-loop measurements (TTFT and TPOT by concurrency) of many models.

Derived columns and source strings of the upstream table are dropped. Blank cells are not recorded upstream. `flag` names rows to
be careful with: duplicate, no_concurrency, tp_x_dp_gt_8, queue_dominated, tpot_non_monotone. Whether the times are means or
medians is stated nowhere upstream.

usage: import_serving_points.py h100_vllm.csv --gpu h100 --out ground_truth [--date YYYY-MM-DD]
"""
import argparse
import csv
import pathlib

import shipping

SOURCES = ["github.com/ai-dynamo/aiconfigurator@095f58a5:aic-core/src/aiconfigurator_core/systems/silicon_sample.csv (vLLM, aggregated)"]
LICENCE = "Apache-2.0 (the InferenceX part: SemiAnalysis InferenceX, Apache-2.0)"
# Our column: upstream's.
COLUMNS = {
    "model": "model",
    "hardware": "gpu",
    "engine": "backend",
    "engine_version": "version",
    "tp": "tp",
    "pp": "pp",
    "dp": "dp",
    "ep": "ep",
    "moe_tp": "moe_tp",
    "precision": "precision",
    "gemm_precision": "gemm_quant",
    "moe_precision": "moe_quant",
    "input_tokens": "isl",
    "output_tokens": "osl",
    "concurrency": "concurrency",
    "batch_size": "batch_size",
    "ttft_ms": "ttft_ms",
    "tpot_ms": "tpot_ms",
    "measured_on": "measured",
    "origin": "origin",
    "flag": "flag",
    "upstream_row": "row_id",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("points", type=pathlib.Path)
    parser.add_argument("--gpu", required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--date")
    arguments = parser.parse_args()
    with arguments.points.open(newline="") as file:
        rows = [[row[upstream] for upstream in COLUMNS.values()] for row in csv.DictReader(file)]
    path = arguments.out / f"serving_points_{arguments.gpu}.csv"
    shipping.write_csv(path, COLUMNS, rows)
    shipping.record(
        arguments.out,
        path,
        what=f"{len(rows)} closed-loop serving points, random prompts without prefix hits",
        sources=SOURCES,
        licence=LICENCE,
        importer=__file__,
        date=arguments.date,
    )


if __name__ == "__main__":
    main()
