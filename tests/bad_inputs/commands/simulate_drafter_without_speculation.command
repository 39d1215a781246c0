simulate --model Llama-2-7b-hf --draft-layers 2
