simulate --model Llama-2-7b-hf --step-time-model roofline_v1 --speculation ngram:2:1.5
