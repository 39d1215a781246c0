import guidellm ../../import_examples/synthetic_guidellm_sweep.json --gpu H100 --vllm-log two_starts.log --out OUT/truth.json
