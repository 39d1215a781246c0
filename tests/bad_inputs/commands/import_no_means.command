import guidellm no_means.json --gpu H100 --vllm-log ../../import_examples/synthetic_vllm.log --out OUT/truth.json
