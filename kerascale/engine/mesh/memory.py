"""Bytes that the program of a step takes on a device, as XLA has assigned them."""

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

import jax
import keras

from kerascale.engine.compat import keras_jax
from kerascale.engine.mesh import prepare

# XLA's runtime on a CPU keeps so much of each operation that several cores share, until
# the call ends: its tasks wait for threads in which devices compute. Of jaxlib 0.10.
_SHARED_OPERATION_BYTES = 2432
_SHARED_OPERATION = "outer_dimension_partitions"


@dataclasses.dataclass(frozen=True)
class StepMemory:
    """What a call of some steps takes on each device, in bytes.

    Args:
        batch: Of the batches of the call.
        program: All that the call holds at once at most: state, batches, gradients,
            weights that were put together, activations.
        runtime: What the runtime keeps of operations until the call ends, at most; 0
            beside an accelerator.
    """

    batch: int
    program: int
    runtime: int


def held_bytes(variables: Iterable[keras.Variable]) -> int:
    """Bytes that a device holds of variables which were cut."""
    return sum(_bytes(value) for value in keras_jax.values_of(list(variables)))


def of_step(model: keras.Model, batch: Any, steps: int) -> StepMemory:
    """Compiles the program of a training, and asks what it takes; nothing is run.

    Args:
        model: Compiled and built, in the process of a mesh.
        batch: Example batch: (x, y) or (x, y, sample_weight), of NumPy arrays.
        steps: Steps of a call.

    Raises:
        RefusedError: Naming all that the model cannot be trained for on the mesh.
    """
    prepared = prepare.prepare(model, batch)
    rows = prepared.train.abstract_rows(batch, steps)
    compiled = prepared.train.lowered(rows).compile()
    found = compiled.memory_analysis()
    shared = 0
    if jax.devices()[0].platform == "cpu":
        shared = compiled.as_text().count(_SHARED_OPERATION)
    return StepMemory(
        batch=sum(map(_bytes, jax.tree.leaves(rows))),
        # What is donated is argument and result at once.
        program=found.argument_size_in_bytes
        + found.temp_size_in_bytes
        + found.output_size_in_bytes
        - found.alias_size_in_bytes,
        runtime=_SHARED_OPERATION_BYTES
        * shared
        * (steps if prepared.train.in_a_loop else 1),
    )


def _bytes(value: Any) -> int:
    """Of the part of an array that a device holds."""
    return math.prod(value.sharding.shard_shape(value.shape)) * value.dtype.itemsize
