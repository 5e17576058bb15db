"""Small helpers of layers and models."""

from collections.abc import Iterable

import keras

Shape = tuple[int | None, ...]


def build_in_turn(layers: Iterable[keras.layers.Layer], shape: Shape) -> Shape:
    """Builds each layer on the output of the one before. Returns the last shape."""
    for layer in layers:
        if not layer.built:
            layer.build(shape)
        shape = layer.compute_output_shape(shape)
    return shape


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
