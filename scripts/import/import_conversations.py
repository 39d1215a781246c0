#!/usr/bin/env python3
"""Writes ground_truth/conversations/multiturn_<clients>.csv: the turns that clients sent, as a table to replay.

Input: <run>.requests.csv of InferenceX's multi-turn benchmark: requests in the order they were sent, with conversation, tokens of
the conversation so far and output tokens. No times: a turn is sent when the one before has ended, and a client takes the next
conversation when its own is over.

usage: import_conversations.py FOLDER --out ground_truth [--date YYYY-MM-DD]
"""
import csv

import shipping

SOURCES = ["github.com/SemiAnalysisAI/InferenceX@2582608b:experimental/multiturn/vllm_benchmark/results/sweep_results_20260204_062339"]
LICENCE = "Apache-2.0 (SemiAnalysis InferenceX)"
CLIENTS = (16, 64, 256)
COLUMNS = ("stage", "arrival_s", "input_tokens", "output_tokens", "conversation")


def main():
    arguments = shipping.parser_of(__doc__, "folder").parse_args()
    shipment = shipping.Shipment(arguments, __file__, LICENCE)
    for clients in CLIENTS:
        with (arguments.folder / f"tp1_bs{clients}_offloadoff.requests.csv").open(newline="") as file:
            turns = list(csv.DictReader(file))
        # Tokens of the messages, without the chat template: an empty first message is sent as at least one token.
        rows = [(0, 0, max(1, int(turn["tokens_so_far"])), turn["output_tokens"], turn["conversation"]) for turn in turns]
        what = f"{len(rows)} turns of conversations that a closed loop of {clients} clients sent, lengths only"
        shipment.csv(f"conversations/multiturn_{clients}.csv", COLUMNS, rows, what=what, sources=SOURCES)


if __name__ == "__main__":
    main()
