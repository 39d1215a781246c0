simulate --model Llama-2-7b-hf --arrivals constant --ramp-up-strategy linear --ramp-up-start-rps 1 --ramp-up-end-rps 8 --num-prompts 10
