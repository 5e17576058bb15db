"""What replicas tell one another: sums, decisions, votes."""
