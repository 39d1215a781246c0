show profile.yaml
