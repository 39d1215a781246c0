import auto models --gpu H100 --out OUT/truth.json
