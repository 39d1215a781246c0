import guidellm ../../import_examples/synthetic_guidellm_sweep.json --gpu H100 --vllm-log ../../import_examples/synthetic_vllm.log --out h100.json
