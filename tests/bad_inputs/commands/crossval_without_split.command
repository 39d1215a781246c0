crossval plain.yaml --out OUT/run
