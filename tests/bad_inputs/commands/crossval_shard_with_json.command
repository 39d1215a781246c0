crossval plain.yaml --shard 1/2 --json --out OUT/run
