improve split.yaml --out OUT --replay-round 1
