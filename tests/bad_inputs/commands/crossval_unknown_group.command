crossval plain.yaml --group modle --out OUT/run
