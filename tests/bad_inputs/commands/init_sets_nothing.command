init models --set max_num_seqs --out OUT/new
