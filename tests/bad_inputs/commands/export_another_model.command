export h100 --form hardware-config
