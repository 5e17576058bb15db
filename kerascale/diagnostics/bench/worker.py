"""Run as a process: measures the workload that its argument, JSON, tells of."""

import json
import sys

from kerascale.diagnostics.bench.workloads import WORKLOADS
from kerascale.diagnostics.doctor.processes import tell


def main() -> None:
    task = json.loads(sys.argv[1])
    from kerascale.diagnostics.bench import measure

    measure.measure(WORKLOADS[task.pop("letter")], tell, **task)


if __name__ == "__main__":
    main()
