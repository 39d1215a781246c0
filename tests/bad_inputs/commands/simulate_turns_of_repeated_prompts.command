simulate --model Llama-2-7b-hf --turns 3 --distinct-prompts 10
