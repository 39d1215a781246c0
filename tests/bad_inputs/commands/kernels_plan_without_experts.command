kernels plan --model Qwen3-30B-A3B --tp 2
