show plain.yaml --config external.json
