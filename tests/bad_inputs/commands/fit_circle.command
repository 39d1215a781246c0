fit circle.yaml --out OUT/run
