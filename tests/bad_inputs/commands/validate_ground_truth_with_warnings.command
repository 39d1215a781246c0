validate warnings.json
