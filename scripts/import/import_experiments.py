#!/usr/bin/env python3
"""Writes ground_truth/{h100,a100,l40s,overload}.json from the collected experiments (upstream form: experiments.json).

Kept are the fields of ground_truth/ground_truth.schema.json: settings, the workload as it really ran, and the measured
means and percentiles in ms. `inferred` names the settings that were not recorded with the run.

usage: import_experiments.py experiments.json --out ground_truth [--date YYYY-MM-DD]
"""
import json

import shipping

SOURCES = [
    "inference-sim@f90a1e3a:testdata/trained_physics_iter29.json (settings, KV blocks)",
    "inference-sim@f90a1e3a:testdata/roofline_goldendataset.json (settings)",
    "sim-to-real-accuracy-validation@dcec3fd:results_trainval/error_records.csv (measured)",
    "sim-to-real-accuracy-validation@b70edb9a:results_iter36/error_records.csv (measured: 36, 38, 54)",
    "training@ed5c1d2:default_args/20260217-* (measured: the 20260217 runs)",
]
LICENCE = "inference-sim: Apache-2.0; sim-to-real-accuracy-validation and training state no licence"

DEPLOYMENT = ("model", "hardware", "tp", "dp", "precision", "engine")
WORKLOAD = ("name", "type", "system_prompt_len", "question_len", "output_len", "stages")
EFFECTIVE = (
    "num_groups",
    "num_prompts_per_group",
    "distinct_prompts",
    "prompt_tokens_actual_mean",
    "prompt_tokens_range_pct",
    "output_tokens_generated",
)
METRICS = ("ttft_mean", "ttft_p90", "ttft_p99", "e2e_mean", "e2e_p90", "e2e_p99", "tpot_true_mean", "itl_mean")
COUNTS = ("num_success", "num_failure")


def pick(source, keys):
    return {key: source[key] for key in keys if source.get(key) is not None}


def row(source):
    return {key: shipping.rounded(source[key]) for key in METRICS} | pick(source, COUNTS)


def trimmed(experiment):
    workload = experiment["workload"]
    effective = workload["effective"]
    assert workload["arrival"]["inference_perf_load_type"] == "constant"
    assert "cycled" in effective["order"] and not effective["multi_turn"]
    inferred = sorted(key for key, text in experiment["provenance"].items() if text.startswith("inferred"))
    return {
        "id": experiment["id"],
        "role": experiment["role"],
        **pick(experiment, DEPLOYMENT),
        "vllm": experiment["vllm"],
        "workload": {
            **pick(workload, WORKLOAD),
            # inference-perf's "constant" (its load timer): exponential gaps rescaled to fill the stage exactly.
            "arrival": {"process": "conditioned_poisson"},
            "effective": {"order": "cycled", **pick(effective, EFFECTIVE)},
        },
        "measured": {
            "measured_at": "client",
            "summary": row(experiment["measured"]["summary"]),
            "stages": [{"stage": stage["stage"], **row(stage)} for stage in experiment["measured"]["stages"]],
        },
        "flags": experiment["flags"],
        "inferred": inferred,
    }


def file_of(experiment):
    if experiment["role"] == "overload":
        return "overload.json"
    return {"H100": "h100.json", "A100-80GB": "a100.json", "L40S": "l40s.json"}[experiment["hardware"]]


def main():
    arguments = shipping.parser_of(__doc__, "experiments").parse_args()
    shipment = shipping.Shipment(arguments, __file__, LICENCE)
    files = {}
    for experiment in json.loads(arguments.experiments.read_text()):
        files.setdefault(file_of(experiment), []).append(trimmed(experiment))
    for name, experiments in files.items():
        ids = ", ".join(experiment["id"] for experiment in experiments)
        shipment.json(name, experiments, what=f"{len(experiments)} measured vLLM experiments: {ids}", sources=SOURCES)


if __name__ == "__main__":
    main()
