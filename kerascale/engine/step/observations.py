"""What layers see of a batch, as maxima over all of it: ranges of activations, say.

A layer tells it while a step is traced. The model's observer is given the maximum over
the global batch, behind the update and on each replica. It travels with the gradients:
a layer that waits for other replicas itself keeps a step from being compiled or split.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import keras
import tensorflow as tf

from kerascale.engine.data import shard
from kerascale.engine.step.collector import Collector

# An attribute of a model: who is given what its layers tell.
_OBSERVER = "_kerascale_observer"

# Number of what is looked at -> float tensor of shape (width,), not negative.
Box = dict[int, tf.Tensor]
_told: Collector[Box] = Collector(dict)


class Observer(Protocol):
    """Who is given what the layers of a model tell.

    Its `shape` is (things that are looked at, numbers of each).
    """

    shape: tuple[int, int]
    dtype: str

    def update(self, maxima: tf.Tensor) -> None:
        """Takes the maxima over a batch, zero where nothing was told."""


def attach(model: keras.Model, observer: Observer | None) -> None:
    """Gives a model an observer; None: none."""
    vars(model).pop(_OBSERVER, None)
    if observer is not None:
        vars(model)[_OBSERVER] = observer


def of(model: keras.Model) -> Observer | None:
    """The observer of a model."""
    return vars(model).get(_OBSERVER)


def collecting() -> contextlib.AbstractContextManager[Box]:
    """Within it, in this thread, what layers tell is put into the box."""
    return _told.collecting()


def is_wanted() -> bool:
    """Whether somebody looks: a training step, and not a validation."""
    return _told.box is not None


def tell(number: int, values: tf.Tensor) -> None:
    """Says what a layer sees; of several times in a step the largest counts.

    Args:
        number: Of what is looked at, from 0.
        values: Float tensor of shape (width,), not negative.
    """
    box = _told.box
    if box is None:
        return
    here = shard.current()
    if here is not None:  # The row that fills up an empty slice does not count.
        values = tf.where(here.count > 0, values, tf.zeros_like(values))
    box[number] = tf.maximum(box[number], values) if number in box else values


def handed_out(
    function: Callable[..., Any], wrap: Callable[[Callable], Callable]
) -> Callable[..., Any]:
    """A function in a graph of its own, which hands out what is told within it.

    Args:
        function: Traces a step, or a part of one.
        wrap: Makes the graph: `tf.function`.
    """

    def hand_out(told: Box) -> None:
        if _told.box is not None:
            _told.box.update(told)

    return _told.handed_out(function, wrap, hand_out)


def maxima(model: keras.Model, box: Box) -> list[tf.Tensor]:
    """What was told in a step, as one tensor of the observer's shape; or none."""
    observer = of(model)
    if observer is None:
        return []
    count, width = observer.shape
    nothing = tf.zeros([width], observer.dtype)
    rows = [tf.cast(box.get(i, nothing), observer.dtype) for i in range(count)]
    return [tf.stack(rows)]


def spread(found: Sequence[tf.Tensor], replicas: int) -> list[tf.Tensor]:
    """The maxima of a replica in a place of its own: so a sum over all has each.

    Args:
        found: What `maxima` returned.
        replicas: How many there are; of one nothing is changed.
    """
    if replicas == 1 or not found:
        return list(found)
    own = tf.distribute.get_replica_context().replica_id_in_sync_group
    places = tf.one_hot(own, replicas, dtype=found[0].dtype)
    return [tf.reshape(places, [-1, 1, 1]) * each for each in found]


def take(model: keras.Model, found: Sequence[tf.Tensor]) -> None:
    """Gives the observer the maxima.

    Args:
        model: The model.
        found: What `spread` returned, summed over all replicas.
    """
    for each in found:
        of(model).update(each if each.shape.rank == 2 else tf.reduce_max(each, 0))
