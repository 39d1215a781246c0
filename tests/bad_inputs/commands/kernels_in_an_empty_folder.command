kernels audit models --gpu H100
