"""A proposer that works through a list (docs/proposers.md): one item for every question, the first that was not tried yet.

It reads the question from standard input and writes its answer to standard output, as `rooftune improve` asks for it:
    improve: {proposer: {command: [python3, "${folder}/proposer.py"]}}
"""

import json
import sys

IDEAS = [
    {
        "id": "norms",
        "reason": "norms and rotary embedding read and write every token of the step once per layer",
        "terms": [
            {
                "id": "user.norm_us",
                "scale": "per_step",
                "expression": "layers * (decodes + prefill_tokens)",
                "start": 0.01,
                "bounds": [0, 1],
                "prior": {"centre": 0.01, "standard_deviation": 0.02},
            }
        ],
    },
    {"id": "exponent", "reason": "compute and streaming overlap more or less than assumed", "free": ["physics.pnorm"]},
    {"id": "lag", "reason": "a request that arrives during step k joins step k+2", "switches": {"engine.async_scheduling": "on"}},
]


def main():
    question = json.load(sys.stdin)
    tried = {item["move"] for item in question["verdicts"] + question["tried"]}
    known = {item["id"] for item in question["grammar"]["parameters"]}
    free = {item["id"] for item in question["structure"]["free"]}
    ideas = [
        idea
        for idea in IDEAS
        if "outside:" + idea["id"] not in tried and all(name in known - free for name in idea.get("free", []))
    ]
    json.dump({"schema": "rooftune/proposals/1", "proposals": ideas[:1]}, sys.stdout)


if __name__ == "__main__":
    main()
