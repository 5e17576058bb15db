"""The cluster of a Slurm step: who is in it, and at which addresses."""
