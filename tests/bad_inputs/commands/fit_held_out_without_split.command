fit plain.yaml --held-out --out OUT/run
