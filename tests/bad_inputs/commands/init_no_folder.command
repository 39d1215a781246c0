init h100.json
