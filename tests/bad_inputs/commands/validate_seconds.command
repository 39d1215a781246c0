validate in_seconds.json
