"""Connects the processes of a mesh before the first step needs them."""

import contextlib
import itertools
import os
import sys
from collections.abc import Iterator

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from kerascale.engine.mesh import exchange
from kerascale.engine.mesh.placement import devices_of
from kerascale.strategies.mesh import Mesh


def connect(mesh: Mesh) -> None:
    """Lets devices sum once along every choice of axes. All processes call it.

    Groups of devices meet then, each of which says so on standard output, where a
    command prints its result; and who cannot be reached is known at once.

    Args:
        mesh: That of the processes.

    Raises:
        RuntimeError: If a process does not reach another.
    """
    devices = devices_of(str(mesh), tuple(mesh.axes.values()))
    axes = [name for name, size in mesh.axes.items() if size > 1]
    ones = np.ones(tuple(mesh.axes.values()), np.float32)
    exchange.texts(b"")
    with _without_output():
        exchange.of_first(np.zeros(1, np.uint32))
        for count in range(1, len(axes) + 1):
            for along in itertools.combinations(axes, count):
                _sum(ones, devices, along).block_until_ready()


def _sum(
    ones: np.ndarray, devices: jax.sharding.Mesh, along: tuple[str, ...]
) -> jax.Array:
    cut = PartitionSpec(*devices.axis_names)
    kept = PartitionSpec(*(n if n not in along else None for n in devices.axis_names))
    add = jax.shard_map(
        lambda part: jax.lax.psum(part, along),
        mesh=devices,
        in_specs=cut,
        out_specs=kept,
    )
    parts = jax.make_array_from_callback(
        ones.shape, NamedSharding(devices, cut), lambda index: ones[index]
    )
    return jax.jit(add)(parts)


@contextlib.contextmanager
def _without_output() -> Iterator[None]:
    """Within it nothing is written to standard output, from C++ either."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
