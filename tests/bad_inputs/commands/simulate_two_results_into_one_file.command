simulate --model Llama-2-7b-hf --rate 1 --duration 2 --trace OUT/a.csv --requests OUT/./a.csv
