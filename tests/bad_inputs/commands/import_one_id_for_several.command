import vllm-bench ../../import_examples/synthetic_vllm_bench_appended.jsonl --id mine --gpu H100 --vllm-log ../../import_examples/synthetic_vllm.log --out OUT/truth.json
