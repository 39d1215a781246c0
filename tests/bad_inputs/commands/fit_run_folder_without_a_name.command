fit plain.yaml --out ''
