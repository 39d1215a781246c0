import aiperf later_turns.jsonl --gpu H100 --model meta-llama/Llama-2-7b-hf --vllm-log ../../import_examples/synthetic_vllm.log --out OUT/truth.json
