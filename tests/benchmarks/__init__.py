"""Speed against the peers, on the same workloads: `python -m tests.benchmarks`."""
