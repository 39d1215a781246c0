compare plain.yaml --out OUT/run
