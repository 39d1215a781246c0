import inferencex compact_1k1k.json --vllm-log ../../import_examples/synthetic_vllm.log --out OUT/truth.json
