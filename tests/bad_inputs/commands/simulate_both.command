simulate plain.yaml --model Llama-2-7b-hf
