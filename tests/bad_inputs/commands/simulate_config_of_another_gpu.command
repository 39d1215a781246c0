simulate --model Llama-2-7b-hf --gpu L40S --config h100 --rates 1 --duration 2
