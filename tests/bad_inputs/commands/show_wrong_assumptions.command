show assuming.yaml
