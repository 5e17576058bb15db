"""The page about attacks on a run."""
