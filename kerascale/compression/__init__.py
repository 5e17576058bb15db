"""Smaller and faster models, with proof that they still work."""
