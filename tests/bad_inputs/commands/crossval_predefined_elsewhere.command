crossval predefined.yaml --out OUT/run
