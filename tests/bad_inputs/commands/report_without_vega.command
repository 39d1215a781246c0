report run --vega models --out OUT/report.html
