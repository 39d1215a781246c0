watch ./watch_unsure.json watch_negative.jsonl --model Llama-2-7b-hf
