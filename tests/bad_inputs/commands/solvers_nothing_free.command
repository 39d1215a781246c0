solvers nothing_free.yaml
