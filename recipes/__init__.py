"""Recipes: one file adds one. `kerascale recipes` lists them."""
