kernels audit tables/context.csv --gpu H100
