simulate --model DeepSeek-V2-Lite --prompt-tokens 100 --output-tokens 20
