#!/usr/bin/env python3
"""Writes ground_truth/peers.csv: what other simulators predicted for the experiments, in the columns of our evaluation rows.

usage: import_peers.py peer_predictions.csv --out ground_truth [--date YYYY-MM-DD]
"""
import argparse
import csv
import pathlib

import shipping

LICENCE = "inference-sim: Apache-2.0; sim-to-real-accuracy-validation states no licence"
COLUMNS = ("experiment", "simulator", "stage", "metric", "predicted", "measured", "source")
SUMMARY = "-1"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("predictions", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--date")
    arguments = parser.parse_args()
    with arguments.predictions.open(newline="") as file:
        upstream = list(csv.DictReader(file))
    rows = [
        (
            row["exp_id"],
            row["simulator"],
            "summary" if row["stage"] == SUMMARY else row["stage"],
            f"{row['metric']}_ms",
            shipping.rounded(float(row["predicted"])),
            shipping.rounded(float(row["actual"])),
            row["source"],
        )
        for row in upstream
    ]
    path = arguments.out / "peers.csv"
    shipping.write_csv(path, COLUMNS, rows)
    shipping.record(
        arguments.out,
        path,
        what=f"{len(rows)} predictions of other simulators for these experiments, ms; itl_mean_ms is not per generated token",
        sources=sorted({row["source"] for row in upstream}),
        licence=LICENCE,
        importer=__file__,
        date=arguments.date,
    )


if __name__ == "__main__":
    main()
