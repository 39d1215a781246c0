import guidellm ../../import_examples/synthetic_guidellm_sweep.json --out OUT/truth.json
