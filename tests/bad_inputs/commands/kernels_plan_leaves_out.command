kernels plan --model DeepSeek-V2-Lite --tp 2
