kernels plan --model Llama-3.1-8B-Instruct --tp 3
