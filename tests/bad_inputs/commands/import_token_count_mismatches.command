import inference-perf mismatches --gpu H100 --vllm-log ../../import_examples/synthetic_vllm.log --out OUT/truth.json
