onboard plain.yaml split.yaml --out OUT/run
