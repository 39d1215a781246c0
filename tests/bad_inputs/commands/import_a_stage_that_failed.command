import blis-trace a_stage_that_failed --gpu H100 --vllm-log ../../import_examples/synthetic_vllm.log --out OUT/truth.json
