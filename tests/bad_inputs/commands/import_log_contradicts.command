import blis ../../import_examples/synthetic_blis.json --vllm-log two_starts.log --out OUT/truth.json
