import auto two_starts.log ../../import_examples/synthetic_vllm.log ../../import_examples/synthetic_guidellm_sweep.json --gpu H100 --out OUT/truth.json
