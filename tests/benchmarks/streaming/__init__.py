"""Data that is streamed from the disk: see `parts`."""
