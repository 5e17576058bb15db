"""How fast a training was, what it computed, and how much of its time it used."""
