kernels normalise models --gpu H100 --out OUT/clean
