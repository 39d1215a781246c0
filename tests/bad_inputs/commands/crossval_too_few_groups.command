crossval split.yaml --select id=64 --out OUT/run
