crossval nothing_free.yaml --out OUT/run
