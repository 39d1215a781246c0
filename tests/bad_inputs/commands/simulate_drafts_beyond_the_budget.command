simulate --model Llama-2-7b-hf --config ../../../configs/tuned/h100.physics.json --speculation mtp:8:3 --max-num-seqs 1024 --max-num-batched-tokens 2048
