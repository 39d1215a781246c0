show plain.yaml --select modle=x
