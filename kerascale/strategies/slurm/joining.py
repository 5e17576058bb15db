"""Takes this process's place in the cluster of its Slurm step."""

import json
import os
from collections.abc import MutableMapping

from kerascale.runtime.host import usable_cores
from kerascale.strategies.slurm import meeting
from kerascale.strategies.slurm import step as slurm_step

START_SECONDS = 300.0


def join(
    environ: MutableMapping[str, str] = os.environ, timeout: float = START_SECONDS
) -> str | None:
    """Sets TF_CONFIG, if Slurm started this process as one of several workers.

    A TF_CONFIG that is there stays. TensorFlow's own `SlurmClusterResolver` is not
    asked: it sorts nodes by their names, so that `gpu[8-10]` gives each another's
    address (TensorFlow 2.21.0).

    Args:
        environ: Environment variables.
        timeout: Seconds in which all workers must have started.

    Returns:
        Which worker this is, in words; None if there is nothing to join.

    Raises:
        RefusedError: If Slurm's variables contradict one another, or workers are
            missing.
    """
    if environ.get("TF_CONFIG", "").strip():
        return None
    step = slurm_step.read(environ)
    if step is None:
        return None
    workers = meeting.addresses(step, timeout)
    task = {"type": "worker", "index": step.rank}
    environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": workers}, "task": task})
    here = step.tasks[step.node]
    if here > 1 and usable_cores() == (os.cpu_count() or 1):
        # Slurm has given no task cores of its own.
        threads = max(1, usable_cores() // here)
        environ.setdefault("TF_NUM_INTRAOP_THREADS", str(threads))
    return (
        f"worker {step.rank} of {step.num_workers}, on {step.nodes[step.node]}, of "
        f"Slurm's step {step.name.rpartition('.')[0]}"
    )
