"""Small helpers of layers and models."""

import contextlib
from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf

Shape = tuple[int | None, ...]


def build_in_turn(layers: Iterable[keras.layers.Layer], shape: Shape) -> Shape:
    """Builds each layer on the output of the one before. Returns the last shape."""
    for layer in layers:
        if not layer.built:
            layer.build(shape)
        shape = layer.compute_output_shape(shape)
    return shape


def outside_of_graphs() -> contextlib.AbstractContextManager[Any]:
    """Makes tensors eagerly, also while a train step is being traced.

    `keras.layers.Normalization` makes tensors of its mean and variance when it is
    built. Keras builds a model at the first `fit`, inside the train step's graph, and
    no other graph could use them: "The tensor ... is out of scope".
    """
    if keras.backend.backend() == "tensorflow":
        return tf.init_scope()
    return contextlib.nullcontext()


def is_on_tensorflow() -> bool:
    """Whether Keras' backend is TensorFlow: others do without its functions."""
    return keras.backend.backend() == "tensorflow"


def at_least_float32(dtype: str) -> str:
    """The dtype for sums and exponentials that half precision cannot hold."""
    return keras.backend.result_type(dtype, "float32")


def require_rank(layer: str, shape: Shape, rank: int, meaning: str) -> None:
    """Refuses a shape of another rank."""
    if len(shape) != rank:
        raise ValueError(
            f"{layer} expects an input of shape {meaning}. "
            f"Received: input_shape={tuple(shape)}."
        )
