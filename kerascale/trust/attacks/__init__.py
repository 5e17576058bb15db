"""Attacks: changes of an example, within a limit, that a model answers wrongly."""
