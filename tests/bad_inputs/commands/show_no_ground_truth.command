show no_ground_truth.yaml
