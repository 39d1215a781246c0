export h100.json --form alpha-beta
