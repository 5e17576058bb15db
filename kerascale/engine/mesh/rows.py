"""The batches of an epoch on the devices: the next ones are read while some are run."""

import concurrent.futures
import dataclasses
import time
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import numpy as np
import tensorflow as tf

from kerascale.datasets import nests
from kerascale.datasets.pipeline import Batches
from kerascale.engine.data import waits
from kerascale.engine.mesh.placement import Places


@dataclasses.dataclass(frozen=True)
class Part:
    """Batches that are run in one execution.

    Args:
        first: The first one's place in the epoch.
        steps: How many count.
        rows: Of shape (at least `steps`, rows, ...), on the devices.
    """

    first: int
    steps: int
    rows: Any


def of_batches(
    batches: Batches, places: Places, epoch: int, first: int, end: int, most: int
) -> Iterator[Part]:
    """The parts of an epoch, of batches that are computed from their place.

    Args:
        batches: Of `kerascale.datasets`.
        places: Where rows lie.
        epoch: Which one.
        first: The batch to begin at.
        end: The one behind the last.
        most: Batches of a part.
    """
    full = batches.num_whole_batches
    plan, place = [], first
    while place < end:
        steps = min(most, full - place, end - place) if place < full else 1
        plan.append((place, steps))
        place += steps

    def read(place: int, steps: int) -> Part:
        rows = _rows(batches, epoch, place, most if place < full else 1, place < full)
        return Part(place, steps, put(rows, places))

    # Of one thread: parts are read in their order.
    with concurrent.futures.ThreadPoolExecutor(1) as reader:
        ahead = reader.submit(read, *plan[0]) if plan else None
        try:
            for following in [*plan[1:], None]:
                began = time.perf_counter()
                part = ahead.result()
                waits.add(time.perf_counter() - began)
                ahead = following and reader.submit(read, *following)
                yield part
        finally:
            if ahead is not None:
                ahead.cancel()


def _rows(batches: Batches, epoch: int, first: int, count: int, is_full: bool) -> Any:
    """Batches in a row, as arrays of the host."""
    now = tf.constant(epoch, tf.int64)
    with tf.device("CPU"):
        if not is_full:
            batch = batches.batch(now, tf.constant(first, tf.int64))
            return nests.map_present(lambda t: np.asarray(t)[None], batch)
        indices = batches.indices_of(now, tf.constant(first, tf.int64), count)
        gathered = batches.gather(tf.reshape(indices, [-1]), now)
    return nests.map_present(
        lambda t: np.asarray(t).reshape(count, batches.batch_size, *t.shape[1:]),
        gathered,
    )


def of_dataset(batches: Iterable[Any], places: Places, first: int) -> Iterator[Part]:
    """The parts of an epoch, of batches that come one after the other.

    Args:
        batches: Of a `tf.data.Dataset`, or of NumPy.
        places: Where rows lie.
        first: Which place the first one has.
    """
    for place, batch in enumerate(batches, first):
        rows = nests.map_present(lambda t: np.asarray(t)[None], batch)
        yield Part(place, 1, put(rows, places))


def put(rows: Any, places: Places, before: int = 1) -> Any:
    """Batches on the devices; see `Places.rows`.

    Args:
        rows: Arrays of the host.
        places: Where they shall lie.
        before: Axes in front of that of rows.
    """
    return nests.map_present(
        lambda array: jax.device_put(array, places.rows(array.shape, before)), rows
    )
