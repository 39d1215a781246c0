import inference-perf h100.json --out OUT/truth.json
