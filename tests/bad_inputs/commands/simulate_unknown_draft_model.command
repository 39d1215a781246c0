simulate --model Llama-2-7b-hf --config ../../../configs/tuned/h100.physics.json --speculation draft_model:2:2.1 --draft-model no-such-model
