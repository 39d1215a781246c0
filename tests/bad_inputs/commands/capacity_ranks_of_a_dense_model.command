capacity --model Llama-2-7b-hf --tp 1,2 --data-parallel 2
