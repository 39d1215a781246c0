show tied_and_more.yaml
