"""The processes that share a mesh: those of TF_CONFIG, or of a Slurm step.

They meet through JAX, which then sees the devices of all of them. Looking at them
needs no JAX.
"""

import atexit
import dataclasses
import importlib
import os
import sys
import time
from collections.abc import Mapping

from kerascale.errors import RefusedError
from kerascale.runtime import run_clock
from kerascale.strategies import tf_config
from kerascale.strategies.slurm import joining
from kerascale.strategies.slurm import step as slurm_step

# Stands above this room, and is loaded by its name where the backend is JAX.
_JAX = "kerascale.engine.compat.jax_processes"

_GRACE_SECONDS = 0.5


@dataclasses.dataclass(frozen=True)
class Peers:
    """The processes of a mesh.

    Args:
        count: How many there are.
        index: Which of them this one is; 0 writes the files of a run.
    """

    count: int = 1
    index: int = 0


_here = Peers()
# With which this process ends, once it has failed by itself.
_failed: int | None = None


def here() -> Peers:
    """Those that this process has joined; it alone, if it has joined none."""
    return _here


def count(environ: Mapping[str, str] = os.environ) -> int:
    """Processes that are to share a mesh, as the environment says.

    Raises:
        RefusedError: If what it says is wrong.
    """
    cluster = tf_config.from_environment(environ)
    if cluster is not None:
        return cluster.num_workers
    step = slurm_step.read(environ)
    return 1 if step is None else step.num_workers


def join(timeout: float | None = None) -> Peers:
    """Meets the others, before JAX is used. Nothing is done where there are none.

    Args:
        timeout: Seconds in which all must have started; None: 300.

    Raises:
        RefusedError: If they are not there in time, or JAX is used already.
    """
    global _here
    if _here.count > 1 or count() == 1:
        return _here
    seconds = joining.START_SECONDS if timeout is None else timeout
    with run_clock.within(run_clock.PEERS):
        joining.join(timeout=seconds)
        cluster = tf_config.from_environment()
        patience = tf_config.PATIENCE_SECONDS if timeout is None else timeout
        tf_config.refuse_unreachable(cluster, patience_seconds=patience)
        tf_config.reach_directly(cluster)
        try:
            importlib.import_module(_JAX).join(
                cluster.workers[0],
                cluster.address.rpartition(":")[0].strip("[]"),
                cluster.num_workers,
                cluster.index,
                seconds,
            )
        except RuntimeError as error:
            first_line = (str(error).strip().splitlines() or [""])[0]
            raise RefusedError(
                f"mesh: expected {cluster.num_workers} processes that meet at "
                f"{cluster.workers[0]} within {seconds:g} s, before anything else of "
                f"JAX runs. Received: {first_line} Start all of them, or wait longer: "
                "--start-timeout."
            ) from error
    _here = Peers(cluster.num_workers, cluster.index)
    atexit.register(_end)
    return _here


def fail(code: int) -> None:
    """Lets this process end with a code, without a word from the others.

    JAX would wait for them at the end, and they may be waiting for this one.
    """
    global _failed
    _failed = code


def _end() -> None:
    code = _failed
    if code is None and getattr(sys, "last_value", None) is not None:
        code = 1  # An exception that nobody has caught.
    if code is None:
        return
    sys.stdout.flush()
    sys.stderr.flush()
    if _here.index == 0:  # What all refuse, all say, before JAX ends them with it.
        time.sleep(_GRACE_SECONDS)
    os._exit(code)
