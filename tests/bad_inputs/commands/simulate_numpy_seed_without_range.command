simulate --model Llama-2-7b-hf --numpy-seed 2000000000
