watch h100 watch_no_ttft.csv --model Llama-2-7b-hf
