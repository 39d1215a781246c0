simulate --model Llama-2-7b-hf --ramp-up-end-rps 8
