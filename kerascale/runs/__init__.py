"""The folder of a run: its layout, its files, its checkpoints."""
