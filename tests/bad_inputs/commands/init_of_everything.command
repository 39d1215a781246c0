init / --out OUT/begun
