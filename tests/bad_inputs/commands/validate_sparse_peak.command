validate sparse_peak.json
