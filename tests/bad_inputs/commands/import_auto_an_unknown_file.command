import auto h100.json --gpu H100 --out OUT/truth.json
