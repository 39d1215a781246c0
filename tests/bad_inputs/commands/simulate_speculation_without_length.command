simulate --model Llama-2-7b-hf --speculation eagle3:3
