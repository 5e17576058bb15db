"""How many steps are executed in one call: modes, and which is the fastest."""
