show plain.yaml --models models
