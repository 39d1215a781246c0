compare variants.yaml --out OUT/run
