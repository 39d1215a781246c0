improve everything_held_out.yaml --out OUT/run
