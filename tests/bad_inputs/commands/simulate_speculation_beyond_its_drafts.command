simulate --model Llama-2-7b-hf --config ../../../configs/tuned/h100.physics.json --speculation mtp:2:3.5
