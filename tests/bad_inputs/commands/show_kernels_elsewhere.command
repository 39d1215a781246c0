show kernels_elsewhere.yaml
