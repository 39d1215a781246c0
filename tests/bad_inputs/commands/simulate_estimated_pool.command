simulate --hardware small_card.yaml --model Llama-3.1-8B --gpu Card20 --config ../../../configs/tuned/h100.physics.json --rate 0.1 --duration 20 --max-num-seqs 256 --max-num-batched-tokens 2048
