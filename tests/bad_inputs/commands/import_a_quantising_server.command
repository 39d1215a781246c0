import vllm-bench ../../import_examples/synthetic_vllm_bench_appended.jsonl --gpu H100 --vllm-log quantising.log --out OUT/truth.json
