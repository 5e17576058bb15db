"""What `fit` reads: global batches, cut into a shard for each replica."""
