"""One optimizer step on any number of replicas."""
