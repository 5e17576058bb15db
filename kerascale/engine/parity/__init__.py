"""Whether slices of a batch are the batch, tried before the first step."""
