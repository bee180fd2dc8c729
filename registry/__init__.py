"""Floor 1: who is there. Records, presence, the watched directory, inspection. Uses protocols and the ports it is handed."""
