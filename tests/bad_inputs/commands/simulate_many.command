simulate plain.yaml
