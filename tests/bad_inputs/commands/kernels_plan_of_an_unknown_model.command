kernels plan --model Llama-3.2-8B-Instruct
