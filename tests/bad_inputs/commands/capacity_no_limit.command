capacity --config ../../../configs/tuned/h100.json --model Llama-2-7b-hf --prompt-tokens 100 --output-tokens 100 --objective ttft_p90=fast
