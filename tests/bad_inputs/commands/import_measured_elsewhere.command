import blis ../../import_examples/synthetic_blis.json --measured-at moon --set max_num_seqs --out OUT/truth.json
