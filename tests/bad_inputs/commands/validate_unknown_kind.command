validate colour.yaml
