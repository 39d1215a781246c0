simulate --model Llama-2-7b-hf --config ../../../configs/tuned/h100.physics.json --speculation medusa:3:2.4
