watch h100 watch_negative.jsonl --model Llama-2-7b-hf
