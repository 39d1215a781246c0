show simulated.yaml
