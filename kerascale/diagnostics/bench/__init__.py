"""How fast kerascale trains usual models on this machine."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kerascale.config import Execution
from kerascale.diagnostics.bench.results import Report, Result
from kerascale.diagnostics.bench.workloads import WORKLOADS, Workload, named
from kerascale.diagnostics.doctor import processes
from kerascale.runtime.console import say
from kerascale.strategies import mesh_process

__all__ = ["WORKLOADS", "Report", "Result", "Workload", "measure_all", "named"]

# A process that takes longer beside what it measures hangs: on a machine of two slow
# cores it is a few minutes.
_LIMIT_SECONDS = 1800.0


def measure_all(
    workloads: Sequence[Workload],
    *,
    seconds: float,
    execution: Execution = "auto",
    strategy: str | None = None,
    mesh: str | None = None,
    run: Callable[..., list[processes.Ended]] = processes.run,
) -> Report:
    """Trains one workload after the other, each in a process of its own.

    One that fails keeps no other from being measured.

    Args:
        workloads: What is trained.
        seconds: How long each is measured, at least.
        execution: How steps are executed.
        strategy: `fsdp`: on a mesh, in processes with Keras' JAX backend; None: on one
            device.
        mesh: Of `fsdp`; None: all devices that there are.
        run: Runs a module as a process.

    Returns:
        What was measured; false if a workload has failed.

    Raises:
        RefusedError: If there is no such mesh, or JAX is not installed.
    """
    environment = processes.environment()
    if strategy is not None:
        environment = mesh_process.environment_for(strategy, mesh, environment)
    results = []
    for workload in workloads:
        say(f"{workload.letter}: training {workload.title}")
        task = {
            "letter": workload.letter,
            "seconds": seconds,
            "wish": execution,
            "strategy": strategy,
            "mesh": mesh,
        }
        result = _measure(workload, task, environment, run)
        done = f"FAILED: {result.failure}" if result.failure else result.cells()[0]
        say(f"{workload.letter}: {done}")
        results.append(result)
    return Report(tuple(results))


def _measure(
    workload: Workload,
    task: dict[str, Any],
    environment: Mapping[str, str],
    run: Callable[..., list[processes.Ended]],
) -> Result:
    task["started"] = time.monotonic()  # The same clock in all processes of a host.
    (ended,) = run(
        "kerascale.diagnostics.bench.worker",
        [environment],
        _LIMIT_SECONDS + 2 * task["seconds"],
        arguments=[json.dumps(task)],
    )
    return Result(workload, ended.results, ended.failure)
