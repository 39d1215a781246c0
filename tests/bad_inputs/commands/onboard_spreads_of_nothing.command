onboard spreads_of_nothing.yaml --spreads
