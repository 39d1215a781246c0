import llm-d split_llmd_v1.yaml --out OUT/truth.json
