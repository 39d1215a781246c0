onboard onboard.yaml --out OUT/run
