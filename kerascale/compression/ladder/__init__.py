"""From a run to compressed versions of it: built, measured, chosen."""
