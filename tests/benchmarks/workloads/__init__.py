"""One module adds one workload: its `WORKLOAD` is found by itself."""
