"""The page about explanations."""
