simulate --model Llama-2-7b-hf --concurrency 4 --ramp-up-strategy linear --ramp-up-start-rps 1 --ramp-up-end-rps 8 --num-prompts 10
