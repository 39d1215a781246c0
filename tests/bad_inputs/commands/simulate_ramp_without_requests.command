simulate --model Llama-2-7b-hf --ramp-up-strategy linear --ramp-up-start-rps 1 --ramp-up-end-rps 8
