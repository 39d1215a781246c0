import blis ../../import_examples/synthetic_blis.json --set max_seqs=3 --out OUT/truth.json
