evaluate --ground-truth ../../../ground_truth/h100.json --config b100
