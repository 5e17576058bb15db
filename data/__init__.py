"""Small data sets that come with kerascale: one folder each, with its TFDS builder."""
