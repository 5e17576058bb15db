"""In one call of TensorFlow's, what replicas send at one place must have one shape.

A loop of steps is one call. Rows of sparse gradients are as many as a batch has, and so
are those of `ops.gather`.
"""

import tensorflow as tf

# An attribute of a graph.
_MARK = "_kerascale_shapes_may_change"


class ChangesError(Exception):
    """A loop would send tensors whose shape may change from step to step."""


def may_change() -> None:
    """Called where a loop is traced: its batches may differ in their shapes."""
    if not tf.executing_eagerly():
        setattr(tf.compat.v1.get_default_graph(), _MARK, True)


def refuse_change() -> None:
    """Called where a tensor that has no fixed shape is sent.

    Raises:
        ChangesError: If it is traced in such a loop.
    """
    graph = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
    while graph is not None:
        if getattr(graph, _MARK, False):
            raise ChangesError
        graph = getattr(graph, "outer_graph", None)
