"""The page about a ladder."""
