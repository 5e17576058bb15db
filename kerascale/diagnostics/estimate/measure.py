"""The memory of a step, measured by TensorFlow's allocator on zeros or a batch."""

import time
from typing import Any

import keras
import tensorflow as tf

from kerascale.engine.step import build
from kerascale.errors import RefusedError
from kerascale.runtime import allocator, free_memory

# The most of the free memory that a step may be expected to take here.
_SHARE = 0.7
# Threads do not allocate in the same order in each step: on two cores those of one
# convolutional network took from 141 to 235 MiB. So many are run, or for so long.
_RUNS = 20
_RUN_SECONDS = 8.0


def device() -> str:
    """The device whose allocator is asked."""
    return "GPU:0" if tf.config.list_logical_devices("GPU") else "CPU:0"


def refuse_without_statistics() -> None:
    """Refuses an allocator that does not count.

    Raises:
        RefusedError: If TensorFlow began with the one of the C library.
    """
    try:
        tf.config.experimental.get_memory_info(device())
    except ValueError as error:
        raise RefusedError(
            "estimate: expected TensorFlow's allocator that counts its memory. "
            "Received: that of the C library. Set the environment variable "
            f"{allocator.VARIABLE}=true before TensorFlow starts."
        ) from error


def in_use() -> int:
    """Bytes that tensors take now."""
    return tf.config.experimental.get_memory_info(device())["current"]


def step_bytes(model: keras.Model, batch: Any, rows: int) -> tuple[int, int, int]:
    """The most that one training step takes beside weights and batch.

    Steps are run on a quarter and on half of the rows, and on all of them if that can
    be expected to fit here; else on as many as can. The weights change.

    Args:
        model: Compiled and built, on one device.
        batch: Example batch, with at least one row.
        rows: Of the batch that is asked about.

    Returns:
        The most bytes; how many less the least of equal steps took; and of how many
        rows the largest step was that was run.
    """
    build.build(model, batch)
    optimizer = model.optimizer
    if optimizer is not None and not optimizer.built:
        optimizer.build(model.trainable_variables)
    executor = model.make_train_function() or model.train_function
    known: dict[int, int] = {}
    spread = 0
    for share in (4, 2, 1):
        size = max(1, rows // share)
        if size in known:
            continue
        room = _SHARE * free_memory.available_bytes()
        if known and _on_the_line(known, size) > room:
            break
        found = _measured(executor, batch, size)
        known[size], spread = max(found), max(found) - min(found)
    most = max(known)
    return round(_on_the_line(known, rows)), spread, most


def _measured(executor: Any, batch: Any, rows: int) -> list[int]:
    part = tf.nest.map_structure(lambda t: _of_rows(t, rows), batch)
    run = executor.traced_on(part)
    found: list[int] = []
    until = time.monotonic() + _RUN_SECONDS
    while len(found) < _RUNS and (len(found) < 2 or time.monotonic() < until):
        before = in_use()
        tf.config.experimental.reset_memory_stats(device())
        tf.nest.map_structure(lambda t: t.numpy(), run(part))
        peak = tf.config.experimental.get_memory_info(device())["peak"]
        found.append(peak - before)
    return found


def _of_rows(tensor: tf.Tensor, rows: int) -> tf.Tensor:
    """As many rows as are asked for, of a tensor that may have fewer."""
    have = tensor.shape[0]
    if have >= rows:
        return tensor[:rows]
    times = [-(-rows // have)] + [1] * (tensor.shape.rank - 1)
    return tf.tile(tensor, times)[:rows]


def _on_the_line(known: dict[int, int], rows: int) -> float:
    """What is known of `rows`, or lies on the line through the two largest sizes."""
    if rows in known:
        return known[rows]
    *_, last = sorted(known)
    if len(known) == 1:
        return known[last] * rows / last
    before = sorted(known)[-2]
    slope = (known[last] - known[before]) / (last - before)
    return known[last] + max(0.0, slope) * (rows - last)
