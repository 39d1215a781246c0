capacity --model Llama-2-7b-hf --tp 1 --prompt-tokens 3000 --output-tokens 3000
