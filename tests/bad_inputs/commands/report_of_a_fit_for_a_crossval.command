report run --crossval run --out OUT/report.html
