simulate --model Llama-2-7b-hf --config ../../../configs/tuned/h100.physics.json --prefill-decode 1x1+1x1 --turns 3
