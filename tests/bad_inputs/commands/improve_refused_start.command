improve refused_start.yaml --out OUT/run
