init one_result --gpu MyOwn --tp 1 --set version=0.11.0 --set max_model_len=4096 --set max_num_batched_tokens=2048 --set max_num_seqs=256 --out OUT/new
