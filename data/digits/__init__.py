"""Handwritten digits, 8x8 pixels: see README.md for the source and the licence."""
