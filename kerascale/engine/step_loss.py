"""The loss of each single step, where somebody asks for it while it is traced."""

import contextlib
import threading
from collections.abc import Iterator

import tensorflow as tf

_collector = threading.local()


@contextlib.contextmanager
def collecting() -> Iterator[list[tf.Tensor]]:
    """Within it, in this thread, a train step puts its loss into the list."""
    before = getattr(_collector, "box", None)
    _collector.box = []
    try:
        yield _collector.box
    finally:
        _collector.box = before


def tell(loss: tf.Tensor) -> None:
    """Says what the loss of the step is: a scalar, or one that has a mean."""
    box = getattr(_collector, "box", None)
    if box is not None:
        box.append(tf.reduce_mean(loss))
