show plain.yaml --select id=64 --select model=Llama-2-7b-hf
