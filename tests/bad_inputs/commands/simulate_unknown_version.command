simulate --model Llama-2-7b-hf --config ../../../configs/tuned/h100.json --engine-version custom --kv-blocks 4000 --prompt-tokens 100 --output-tokens 20
