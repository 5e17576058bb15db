"""The batches of an epoch on the devices: the next ones are read while some are run."""

import concurrent.futures
import dataclasses
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
import tensorflow as tf

from kerascale.datasets import nests
from kerascale.datasets.pipeline import Batches
from kerascale.engine.compat import keras_jax
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
    own = places.own_rows(batches.batch_size)
    plan, place = [], first
    while place < end:
        steps = min(most, full - place, end - place) if place < full else 1
        plan.append((place, steps))
        place += steps
    if not plan:  # Of an epoch that was stopped behind its last step.
        return

    def read(place: int, steps: int) -> Part:
        if place < full:
            rows = _rows(batches, epoch, place, most, own)
            return Part(place, steps, put_own(rows, places, own, batches.batch_size))
        return Part(place, steps, put(_last_rows(batches, epoch, place), places))

    # Of one thread: parts are read in their order.
    with concurrent.futures.ThreadPoolExecutor(1) as reader:
        ahead = reader.submit(read, *plan[0])
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


def _rows(
    batches: Batches, epoch: int, first: int, count: int, own: Sequence[int] | None
) -> Any:
    """Full batches in a row, as arrays of the host.

    Args:
        batches: Of `kerascale.datasets`.
        epoch: Which one.
        first: The first batch.
        count: How many.
        own: Which rows of each; None: all of them.
    """
    now = tf.constant(epoch, tf.int64)
    with tf.device("CPU"):
        indices = batches.indices_of(now, tf.constant(first, tf.int64), count)
        if own is not None:
            indices = tf.gather(indices, own, axis=1)
        gathered = batches.gather(tf.reshape(indices, [-1]), now)
    return nests.map_present(
        lambda t: np.asarray(t).reshape(count, indices.shape[1], *t.shape[1:]),
        gathered,
    )


def _last_rows(batches: Batches, epoch: int, place: int) -> Any:
    """A batch of fewer rows, as arrays of the host."""
    with tf.device("CPU"):
        batch = batches.batch(
            tf.constant(epoch, tf.int64), tf.constant(place, tf.int64)
        )
    return nests.map_present(lambda t: np.asarray(t)[None], batch)


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
        lambda array: keras_jax.put(array, places.rows(array.shape, before)), rows
    )


def put_own(rows: Any, places: Places, own: Sequence[int] | None, total: int) -> Any:
    """The same, of batches of which this process has read its own rows alone.

    Args:
        rows: Arrays of the host, of shape (batches, own rows, ...).
        places: Where they shall lie.
        own: Which rows they are; None: all of them.
        total: Rows of a batch.
    """
    if own is None:
        return put(rows, places)

    def array(part: np.ndarray) -> jax.Array:
        shape = (part.shape[0], total, *part.shape[2:])
        layout = places.rows(shape, 1)
        return jax.make_array_from_callback(
            shape, layout, lambda index: part[:, _within(index[1], own, total)]
        )

    return nests.map_present(array, rows)


def _within(rows: slice, own: Sequence[int], total: int) -> slice:
    """Where some rows of a batch stand among those of this process."""
    first, end, _ = rows.indices(total)
    place = own.index(first)
    return slice(place, place + end - first)
