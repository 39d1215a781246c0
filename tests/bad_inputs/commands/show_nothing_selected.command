show plain.yaml --select id=999
