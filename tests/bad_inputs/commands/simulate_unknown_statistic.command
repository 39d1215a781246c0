simulate --ground-truth unknown_statistic.json --config ../../../configs/tuned/h100.json
