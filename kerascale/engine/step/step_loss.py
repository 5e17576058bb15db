"""The loss of each single step, where somebody asks for it while it is traced."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from kerascale.engine.step.collector import Collector

_losses: Collector[list[tf.Tensor]] = Collector(list)
# Losses that travel, of each thread.
_travelling = threading.local()


def collecting() -> contextlib.AbstractContextManager[list[tf.Tensor]]:
    """Within it, in this thread, a train step puts its loss into the list."""
    return _losses.collecting()


def handed_out(
    function: Callable[..., Any], wrap: Callable[[Callable], Callable]
) -> Callable[..., Any]:
    """A function in a graph of its own, which hands out the losses told within it.

    Args:
        function: Traces a step, or a part of one.
        wrap: Makes the graph: `tf.function`.
    """

    def take(losses: list[tf.Tensor]) -> None:
        for loss in losses:
            tell(loss)

    return _losses.handed_out(function, wrap, take)


@contextlib.contextmanager
def travelling(losses: tf.Tensor | None) -> Iterator[list[tf.Tensor]]:
    """Within it, losses of steps are summed over workers together with metrics.

    Args:
        losses: What the replicas of this worker add up to, float64 [steps]; None: they
            are not known.

    Yields:
        A list: what they are over all workers, once it is known.
    """
    before = underway()
    _travelling.underway = None if losses is None else (losses, arrived := [])
    try:
        yield [] if losses is None else arrived
    finally:
        _travelling.underway = before


def underway() -> tuple[tf.Tensor, list[tf.Tensor]] | None:
    """The losses that travel, and where the sum goes."""
    return getattr(_travelling, "underway", None)


def tell(loss: tf.Tensor) -> None:
    """Says what the loss of the step is: a scalar, or one that has a mean."""
    box = _losses.box
    if box is not None:
        box.append(tf.reduce_mean(loss))
