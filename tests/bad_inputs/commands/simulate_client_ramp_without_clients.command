simulate --model Llama-2-7b-hf --client-ramp 10
