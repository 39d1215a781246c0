capacity --like ../../../ground_truth/h100.json --select id=60 --engine sglang
