export h100.json --form alpha-betta
