simulate --ground-truth client_limit.json --config ../../../configs/tuned/h100.json
