#!/usr/bin/env python3
"""Writes experiments/prefill_decode/measured.json: closed loops against one prefill and one decode engine of 8 GPUs each; and
together.json, the same points as if both engines did both phases.

Input: result files of `vllm bench serve`, one for each number of clients, from InferenceX's multi-node benchmark. What they do not say
and the experiment needs is listed under `inferred`.

usage: import_prefill_decode.py FOLDER --out experiments/prefill_decode [--date YYYY-MM-DD]
"""
import json

import shipping

SOURCES = ["github.com/SemiAnalysisAI/InferenceX@006dbc6f:benchmarks/multi_node/results (gpt-oss-120b, 8 prefill and 8 decode GPUs)"]
LICENCE = "Apache-2.0 (SemiAnalysis InferenceX)"
LENGTH = 1024
INFERRED = ["hardware (by the name of the source's branch)", "vllm", "no warm-up", "all clients start at once", "no prompt repeats"]


def experiment(result):
    clients = result["max_concurrency"]
    requests = result["num_prompts"]
    if result["total_input_tokens"] != LENGTH * requests or result["total_output_tokens"] != LENGTH * requests:
        raise SystemExit(f"{clients} clients: lengths are not all {LENGTH}")
    return {
        "id": f"gpt-oss-120b-8+8-c{clients}",
        "sweep": "gpt-oss-120b-8+8",
        "role": "new_gpu",
        "model": "openai/gpt-oss-120b",
        "hardware": "MI355X",
        "tp": 8,
        "prefill_decode": {"prefill": {"engines": 1, "tp": 8}, "decode": {"engines": 1, "tp": 8}},
        "vllm": {"version": "0.15.1", "max_model_len": 4096, "max_num_batched_tokens": 8192, "max_num_seqs": 1024},
        "workload": {
            "name": "1024/1024",
            "question_len": LENGTH,
            "output_len": LENGTH,
            "temperature": 0,
            "stages": [{"num_requests": requests}],
            "arrival": {"process": "closed_loop", "concurrency": clients},
            "effective": {"order": "unique"},
        },
        "measured": {
            "measured_at": "client",
            "summary": {
                "ttft_mean": shipping.rounded(result["mean_ttft_ms"]),
                "ttft_p90": shipping.rounded(result["p90_ttft_ms"]),
                "ttft_p99": shipping.rounded(result["p99_ttft_ms"]),
                "ttft_median": shipping.rounded(result["median_ttft_ms"]),
                "e2e_mean": shipping.rounded(result["mean_e2el_ms"]),
                "e2e_median": shipping.rounded(result["median_e2el_ms"]),
                "tpot_true_mean": shipping.rounded(result["mean_tpot_ms"]),
                "tpot_median": shipping.rounded(result["median_tpot_ms"]),
            },
        },
        "flags": [],
        "inferred": INFERRED,
    }


def together(apart):
    """Two engines that do both phases, on the same GPUs."""
    whole = {key: value for key, value in apart.items() if key != "prefill_decode"}
    return whole | {"dp": 2, "flags": ["ran with prefill and decode apart: treated as if it did not"]}


def main():
    arguments = shipping.parser_of(__doc__, "folder").parse_args()
    results = [json.loads(path.read_text()) for path in arguments.folder.glob("*.json")]
    experiments = [experiment(result) for result in sorted(results, key=lambda result: result["max_concurrency"])]
    shipment = shipping.Shipment(arguments, __file__, LICENCE)
    what = f"{len(experiments)} closed loops against prefill and decode apart"
    shipment.json("measured.json", experiments, what=what, sources=SOURCES)
    shipment.json("together.json", [together(one) for one in experiments], what=what + ", as if together", sources=SOURCES)


if __name__ == "__main__":
    main()
