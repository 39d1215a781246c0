#!/usr/bin/env python3
"""A small queueing model of LLM serving: somebody else's simulator, as far as rooftune is concerned.

Flags in, metrics as JSON out. Prefill is an M/D/1 queue; decoding slows down with the requests in service, whose number Little's
law gives. Times are in microseconds inside and in milliseconds in the output.
"""

import argparse
import json
import sys


def simulate(rate_per_s, prompt_tokens, output_tokens, tp, parameters):
    rate_per_us = rate_per_s * 1e-6
    prefill_us = parameters["overhead_us"] + prompt_tokens * parameters["prefill_us_per_token"] / tp
    load = rate_per_us * prefill_us
    if load >= 1.0:
        raise ValueError(f"saturated: the prefill queue is {load:.2f} full")
    ttft_us = prefill_us + load * prefill_us / (2.0 * (1.0 - load))
    steps = output_tokens - 1
    # step = decode + per_request * in service, and in service = rate * e2e.
    feedback = rate_per_us * steps * parameters["decode_us_per_request"]
    if feedback >= 1.0:
        raise ValueError("saturated: decoding never catches up")
    e2e_us = (ttft_us + steps * parameters["decode_us"] / tp) / (1.0 - feedback)
    return {"ttft_ms": ttft_us / 1e3, "e2e_ms": e2e_us / 1e3, "tpot_ms": (e2e_us - ttft_us) / steps / 1e3}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, required=True, help="requests per second")
    parser.add_argument("--prompt-tokens", type=float, required=True)
    parser.add_argument("--output-tokens", type=float, required=True)
    parser.add_argument("--tp", type=int, default=1)
    parser.add_argument("--parameters", required=True, help="JSON file: overhead_us, prefill_us_per_token, decode_us, decode_us_per_request")
    options = parser.parse_args()
    with open(options.parameters, encoding="utf-8") as file:
        parameters = json.load(file)
    try:
        metrics = simulate(options.rate, options.prompt_tokens, options.output_tokens, options.tp, parameters)
    except ValueError as error:
        sys.exit(f"simulator: {error}")
    print(json.dumps({"summary": metrics}))


if __name__ == "__main__":
    main()
