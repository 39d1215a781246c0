onboard plain.yaml --out OUT/run
