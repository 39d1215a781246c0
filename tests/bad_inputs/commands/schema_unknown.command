schema studdy
