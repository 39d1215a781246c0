kernels audit tables/gemm.csv
