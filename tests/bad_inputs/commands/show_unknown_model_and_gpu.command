show --ground-truth elsewhere.json
