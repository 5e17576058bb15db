"""Whether results are right, runs survive, and machines are fit."""
