show plain.yaml --select model
