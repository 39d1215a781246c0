onboard too_few_for_a_trial.yaml --out OUT/run
