observe --url http://127.0.0.1:1 --model Llama-2-7b-hf --rate 20 --duration 0.1 --prompt-tokens 4 --output-tokens 2 --num-warmups 1 --out OUT/observed
