#!/usr/bin/env python3
"""Writes ground_truth/peers.csv: what other simulators predicted for the experiments, in the columns of our evaluation rows.

usage: import_peers.py peer_predictions.csv --out ground_truth [--date YYYY-MM-DD]
"""
import csv

import shipping

LICENCE = "inference-sim: Apache-2.0; sim-to-real-accuracy-validation states no licence"
COLUMNS = ("experiment", "simulator", "stage", "metric", "predicted", "measured", "source")
SUMMARY = "-1"


def main():
    arguments = shipping.parser_of(__doc__, "predictions").parse_args()
    shipment = shipping.Shipment(arguments, __file__, LICENCE)
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
    what = f"{len(rows)} predictions of other simulators for these experiments, ms; itl_mean_ms is not per generated token"
    shipment.csv("peers.csv", COLUMNS, rows, what=what, sources=sorted({row["source"] for row in upstream}))


if __name__ == "__main__":
    main()
