simulate --model Llama-2-7b-hf --rates 1,1 --duration 20 --prompt-tokens 100 --output-tokens 20
