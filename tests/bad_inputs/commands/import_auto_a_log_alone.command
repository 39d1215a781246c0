import auto two_starts.log --gpu H100 --out OUT/truth.json
