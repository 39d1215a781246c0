import vllm-bench counts_differ.json --gpu H100 --vllm-log ../../import_examples/synthetic_vllm.log --out OUT/truth.json
