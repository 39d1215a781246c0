improve plain.yaml --out OUT/run
