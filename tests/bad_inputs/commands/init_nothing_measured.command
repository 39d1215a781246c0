init models --out OUT/new
