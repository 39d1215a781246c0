import blis ../../import_examples/synthetic_blis.json --set all2all_backend=deepep --out OUT/truth.json
