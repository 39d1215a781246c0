import llm-d split_llmd.yaml --set version=0.11.0 --out OUT/truth.json
