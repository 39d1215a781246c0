#!/usr/bin/env python3
"""Writes ground_truth.json: what simulator.py says with the parameters below, which study.yaml then has to recover."""

import json
import pathlib

from simulator import simulate

TRUTH = {"overhead_us": 4000.0, "prefill_us_per_token": 60.0, "decode_us": 9000.0, "decode_us_per_request": 110.0}

RUNS = [  # id, tp, prompt tokens, output tokens, rates per second
    ("short-prompts", 1, 150, 120, (1.0, 6.0)),
    ("long-prompts", 1, 1500, 200, (0.5, 3.0)),
    ("two-gpus", 2, 700, 250, (2.0, 8.0)),
]


def experiment(name, tp, prompt_tokens, output_tokens, rates):
    stages = [{"rate": rate, "duration": 300, "num_requests": round(300 * rate)} for rate in rates]
    predicted = [simulate(rate, prompt_tokens, output_tokens, tp, TRUTH) for rate in rates]
    rows = [{"ttft_mean": row["ttft_ms"], "e2e_mean": row["e2e_ms"], "tpot_true_mean": row["tpot_ms"]} for row in predicted]
    requests = sum(stage["num_requests"] for stage in stages)
    summary = {key: sum(stage["num_requests"] * row[key] for stage, row in zip(stages, rows)) / requests for key in rows[0]}
    return {
        "id": name, "role": "calibration", "model": "meta-llama/Llama-2-7b-hf", "hardware": "H100", "tp": tp, "dp": 1,
        "precision": "FP16", "engine": "example",
        "vllm": {"version": "none", "max_model_len": 4096, "max_num_batched_tokens": 2048, "max_num_seqs": 128, "total_kv_blocks": 8000},
        "workload": {
            "name": name, "type": "shared_prefix", "system_prompt_len": 0, "question_len": prompt_tokens, "output_len": output_tokens,
            "stages": stages, "arrival": {"process": "poisson"},
        },
        "measured": {"measured_at": "server", "summary": summary, "stages": [{"stage": i, **row} for i, row in enumerate(rows)]},
    }


if __name__ == "__main__":
    path = pathlib.Path(__file__).with_name("ground_truth.json")
    path.write_text(json.dumps([experiment(*run) for run in RUNS], indent=1) + "\n", encoding="utf-8")
