import inference-perf models --out OUT/truth.json
