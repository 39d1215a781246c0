import sglang one_phase.jsonl --gpu H100 --set version=0.11.0 --out OUT/truth.json
