"""A process with Keras' JAX backend, in place of the one that was started.

Keras takes its backend when it is imported, and JAX its devices when it is first used.
So a command that is told of a mesh begins anew with both set, under the same process
number, before anything of either is imported.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from kerascale.errors import RefusedError
from kerascale.runtime import extras
from kerascale.strategies import mesh as meshes
from kerascale.strategies import mesh_peers

# Strategies that need it.
NAMES = ("model_parallel", "fsdp")

_FLAG = "--xla_force_host_platform_device_count"
_DEVICES = "KERASCALE_DEVICES"


def refuse_without_jax(strategy: str) -> None:
    """Refuses where JAX is not installed."""
    extras.refuse_without(f"strategy {strategy}", "jax", ["jax"])


def problems_of(options: Any, *, in_processes: bool = False) -> list[str]:
    """What does not go together in the options of a command.

    Args:
        options: With `strategy`, `mesh` and `workers`.
        in_processes: Whether workers are processes, which may share the mesh.
    """
    problems = []
    if options.strategy is not None and options.workers > 1 and not in_processes:
        problems.append(
            "workers: expected 1 with --strategy, whose mesh says how many devices "
            f"there are. Received: {options.workers}"
        )
    if options.mesh is not None and options.strategy is None:
        problems.append("mesh: expected with --strategy. Received: without it")
    if getattr(options, "remat", "none") != "none" and options.strategy is None:
        problems.append(
            "remat: expected with --strategy model_parallel or fsdp, whose steps are "
            "JAX's. Received: without it"
        )
    return problems


def environment_for(
    strategy: str, mesh: str | None, before: Mapping[str, str]
) -> dict[str, str]:
    """The environment of a process for a strategy on a mesh.

    Args:
        strategy: One of `NAMES`.
        mesh: `data=2,model=4`; None: all devices that there are.
        before: That of this process.

    Raises:
        RefusedError: If JAX is absent, or the mesh is none.
    """
    refuse_without_jax(strategy)
    count = None
    if mesh is not None:
        count = _devices_here(meshes.parse(mesh), mesh_peers.count(before))
    elif before.get(_DEVICES, "").isdecimal():
        count = int(before[_DEVICES])
    after = {**before, "KERAS_BACKEND": "jax"}
    flags = before.get("XLA_FLAGS", "")
    if count is not None and _FLAG not in flags:
        # Of the CPU alone: an accelerator has the devices that it has.
        after["XLA_FLAGS"] = f"{flags} {_FLAG}={count}".strip()
    return after


def _devices_here(mesh: meshes.Mesh, processes: int) -> int:
    """Devices of a mesh that one of its processes has."""
    if mesh.size % processes:
        raise RefusedError(
            f"mesh: expected one that {processes} processes share evenly. Received: "
            f"{mesh}, of {mesh.size} devices. Use a multiple of {processes}, or "
            "another number of workers."
        )
    return mesh.size // processes


def enter_if_asked(
    strategy: str | None,
    mesh: str | None,
    arguments: Sequence[str],
    environment: Mapping[str, str] = os.environ,
) -> None:
    """Goes on in such a process, if a command line names such a strategy.

    Returns if it does not, or if this process is one.

    Args:
        strategy: That it names; None: it names none.
        mesh: That it names.
        arguments: The command line behind `kerascale`.
        environment: That of this process.

    Raises:
        RefusedError: See `environment_for`.
    """
    if strategy not in NAMES:
        return
    after = environment_for(strategy, mesh, environment)
    if after == dict(environment):
        return
    sys.stdout.flush()
    sys.stderr.flush()
    command = [sys.executable, "-m", "kerascale", *arguments]
    os.execve(sys.executable, command, after)
