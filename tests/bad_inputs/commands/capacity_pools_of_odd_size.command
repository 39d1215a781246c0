capacity --model Llama-2-7b-hf --tp 2 --prompt-tokens 500 --output-tokens 100 --objective ttft_mean=500 --prefill-decode 1x1+1x2
