simulate --model qwen3-30b-a3b --gpu H200 --config h200 --concurrency 2 --num-prompts 4 --prompt-tokens 100 --output-tokens 10
