capacity --like ../../../ground_truth/h100.json --select id=60 --config h100 --max-model-len 825 --duration 2 --replicates 1 --rates 1
