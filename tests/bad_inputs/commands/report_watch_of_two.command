report --watch runs/monday runs/tuesday
