simulate --step-time-model roofline_v1 --model DeepSeek-V2-Lite --prompt-tokens 100 --output-tokens 20
