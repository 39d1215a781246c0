fit refused_start.yaml --out OUT/run
