import inference-perf some_requests --gpu H100 --vllm-log ../../import_examples/synthetic_vllm.log --out OUT/truth.json
