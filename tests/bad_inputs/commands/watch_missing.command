watch h100 nowhere.csv --model Llama-2-7b-hf
