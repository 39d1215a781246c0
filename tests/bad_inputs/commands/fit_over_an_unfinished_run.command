fit plain.yaml --out run
