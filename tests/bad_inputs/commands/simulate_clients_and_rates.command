simulate --model Llama-2-7b-hf --concurrency 4 --rates 1,2
