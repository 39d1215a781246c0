import vllm-bench mixed_server.json --gpu H100 --vllm-log mixed_server.log --out OUT/truth.json
