simulate --model Llama-2-7b-hf --prefill-decode 2x4
