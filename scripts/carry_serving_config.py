#!/usr/bin/env python3
"""Carries the config that serving points of some GPUs gave to another GPU, or to one of them.

Prices come from each GPU's kernel tables, so the parameters stay. `provenance.carried` says whether the fit saw points of the GPU. Two things do not carry over as they are:

- Factors of a model hold for its other checkpoints too (NVFP4 beside FP8): the tokenizer, the launches and the routing are the
  model's. They are written down again under those names.
- On Blackwell the experts run in the very kernels that the tables hold (TensorRT-LLM's), on Hopper often in others (Marlin, older
  Triton configurations). Factors of the experts that Hopper's kernels needed are left behind there: one for reading them, and for
  the load what uneven routing adds (a guess, 1.2; the wide uncertainty says so).

usage: carry_serving_config.py FITTED.json --gpu B200-SXM --out configs/tuned/b200.json
"""
import argparse
import copy
import json
import pathlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
SAME_MODEL = {
    "Llama-3.3-70B-Instruct-FP8": ["Llama-3.3-70B-Instruct-FP4"],
    "MiniMax-M2.5": ["MiniMax-M2.5-NVFP4"],
    "Kimi-K2.5": ["Kimi-K2.5-NVFP4"],
}
BLACKWELL = ("B200", "B300")
# Checkpoints whose experts Blackwell runs in the tables' own kernels; Kimi-K2.5's INT4 runs in Marlin on both.
OWN_KERNELS = {"gpt-oss-120b", "MiniMax-M2.5", "MiniMax-M2.5-NVFP4", "Kimi-K2.5-NVFP4"}
BLACKWELL_EXPERTS = {"kernels.expert_reading_factor": 1.0, "kernels.expert_load_factor": 1.2}


def carried_scopes(scopes, blackwell):
    for scope in scopes:
        model = scope["where"].get("model")
        if "gpu" in scope["where"] or model is None:
            yield scope  # holds for that GPU alone or for every model, wherever the config is used
            continue
        for name in [model] + SAME_MODEL.get(model, []):
            copied = copy.deepcopy(scope)
            copied["where"]["model"] = name
            if blackwell and name in OWN_KERNELS:
                for parameter, value in BLACKWELL_EXPERTS.items():
                    if parameter in copied["parameters"]:
                        copied["parameters"][parameter] = {"value": value, "source": "default"}
            yield copied


def is_fitted(config, gpu):
    """Whether ground truth of this GPU ("H200" or "H200-SXM") is among the fit's inputs."""
    files = [ROOT / key.removeprefix("input ") for key in config["provenance"] if key.startswith("input ground_truth/")]
    return any(run["hardware"].split("-")[0] == gpu.split("-")[0] for file in files for run in json.loads(file.read_text()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fitted", type=pathlib.Path)
    parser.add_argument("--gpu", required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    config = json.loads(arguments.fitted.read_text())
    config["scoped"] = list(carried_scopes(config["scoped"], arguments.gpu.startswith(BLACKWELL)))
    seen = "with runs of it in the fit" if is_fitted(config, arguments.gpu) else "without a run of it"
    config["provenance"]["carried"] = f"to {arguments.gpu} by kernel tables, {seen}: scripts/carry_serving_config.py"
    arguments.out.write_text(json.dumps(config, indent=2) + "\n")


if __name__ == "__main__":
    main()
