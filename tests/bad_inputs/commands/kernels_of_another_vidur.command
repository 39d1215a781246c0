kernels normalise vidur --gpu H100 --out OUT/tables
