report run --threads 5000 --out OUT/report.html
