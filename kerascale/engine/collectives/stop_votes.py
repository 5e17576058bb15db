"""What one worker wants and all must do at the same step: stop, or save.

It travels with the metrics at the end of an execution, and costs no message more.
"""

import contextlib
import dataclasses
import threading
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

_collector = threading.local()
_variable: tf.Variable | None = None
_agreed: "Vote | None" = None


@dataclasses.dataclass(frozen=True)
class Vote:
    """What to do at the end of this execution.

    Args:
        stop: Save, and stop.
        save: Save, and go on.
    """

    stop: bool = False
    save: bool = False


def vote(stop: bool, save: bool) -> None:
    """Says what this worker wants, before an execution.

    It has an effect where executions are those of several workers.
    """
    variable().assign([int(stop), int(save)])


def agreed(own: Vote) -> Vote:
    """What all workers do after an execution.

    Args:
        own: What this process does if it is alone.
    """
    return own if _agreed is None else _agreed


def variable() -> tf.Variable:
    """int64 of shape (2,): this worker's vote."""
    global _variable
    if _variable is None:
        with tf.init_scope(), tf.device("CPU:0"):
            _variable = tf.Variable(
                tf.zeros([2], tf.int64), trainable=False, name="vote"
            )
    return _variable


def heard(total: tf.Tensor | np.ndarray) -> None:
    """Keeps the sum of all workers' votes, after an execution."""
    global _agreed
    stop, save = (np.asarray(total) > 0).tolist()
    _agreed = Vote(stop, save)


@contextlib.contextmanager
def collecting() -> Iterator[list[tf.Tensor]]:
    """Within it metrics of several workers put the sum of votes into the list."""
    _collector.box = []
    try:
        yield _collector.box
    finally:
        _collector.box = None


def collector() -> list[tf.Tensor] | None:
    """The list of `collecting`; None outside of it."""
    return getattr(_collector, "box", None)
