"""What runners on a mesh share: which one, how it is cut, and what a device holds."""

import os
from collections.abc import Iterable, Mapping
from typing import Any

from ..workload import Workload

VARIABLE = "BENCHMARK_MESH"
FSDP = "fsdp"
# Axes of each, `data` first.
MESHES: Mapping[str, Mapping[str, int]] = {
    FSDP: {"data": 8},
    "data=4,model=2": {"data": 4, "model": 2},
}

# Of an epoch: three executions of kerascale.
_MOST_STEPS = 48


def steps_of(workload: Workload) -> int:
    """Steps of an epoch on a mesh."""
    return min(workload.steps_per_epoch, _MOST_STEPS)


def asked_mesh() -> tuple[str, Mapping[str, int]]:
    """The name of the mesh, and its axes."""
    name = os.environ[VARIABLE]
    return name, MESHES[name]


def largest_axis(shape: tuple[int, ...], parts: int) -> tuple[str | None, ...]:
    """How `fsdp` cuts: along the largest dimension that the parts divide."""
    free = [place for place, size in enumerate(shape) if size % parts == 0]
    if not free:
        return (None,) * len(shape)
    chosen = max(free, key=lambda place: shape[place])
    return tuple("data" if place == chosen else None for place in range(len(shape)))


def state_bytes(arrays: Iterable[Any]) -> dict[str, int]:
    """Bytes of arrays on the device that holds most, and of them as a whole."""
    held: dict[Any, int] = {}
    whole = 0
    for array in arrays:
        whole += array.nbytes
        for shard in array.addressable_shards:
            held[shard.device] = held.get(shard.device, 0) + shard.data.nbytes
    return {"state_bytes_per_device": max(held.values()), "state_bytes": whole}
