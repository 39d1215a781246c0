show --ground-truth ../../../ground_truth/a100.json --ground-truth ./../../../ground_truth/a100.json
