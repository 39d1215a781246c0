observe --url http://127.0.0.1:1 --model Llama-2-7b-hf --concurrency 4,8 --num-prompts 8 --prompt-tokens 4 --output-tokens 2 --out OUT/observed
