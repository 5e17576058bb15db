"""Positions: what tells a Transformer where a token stands."""

from typing import Any

import keras
from keras import ops

from kerascale.layers._arguments import positive_int
from kerascale.layers._common import Shape, at_least_float32, require_rank


@keras.saving.register_keras_serializable(package="kerascale")
class PositionEmbedding(keras.layers.Layer):
    """Adds one learned vector for each position, as in BERT, GPT-2 and ViT.

    Args:
        max_length: Positive integer. Number of positions that have a vector.
        **kwargs: `name`, `dtype` and the other arguments of a `keras.layers.Layer`.

    Call arguments:
        inputs: Float tensor of shape `(batch, length, width)`, where `length` is
            `max_length` at most.

    Returns:
        Float tensor of the same shape.

    Raises:
        ValueError: If `max_length` is not a positive integer, or if the inputs are
            longer.

    Example:

    >>> layer = kerascale.layers.PositionEmbedding(16)
    >>> layer(np.zeros((2, 10, 8), "float32")).shape
    (2, 10, 8)
    """

    def __init__(self, max_length: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_length = positive_int("max_length", max_length)
        self.supports_masking = True

    def build(self, input_shape: Shape) -> None:
        require_rank("PositionEmbedding", input_shape, 3, "(batch, length, width)")
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.max_length, input_shape[-1]),
            initializer=keras.initializers.RandomNormal(stddev=0.02),
        )

    def call(self, inputs: Any) -> Any:
        require_length(self.max_length, inputs.shape[1])
        return inputs + self.embeddings[: ops.shape(inputs)[1]]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "max_length": self.max_length}


@keras.saving.register_keras_serializable(package="kerascale")
class SinusoidalPositions(keras.layers.Layer):
    """Adds sines and cosines of the position, for sequences of any length.

    `p[t, 2i] = sin(t / 10000^(2i / width))` and `p[t, 2i + 1]` is the cosine of the
    same angle: section 3.5 of [Attention Is All You Need](
    https://arxiv.org/abs/1706.03762) (Vaswani et al., 2017). It has no weights.

    Args:
        **kwargs: `name`, `dtype` and the other arguments of a `keras.layers.Layer`.

    Call arguments:
        inputs: Float tensor of shape `(batch, length, width)`.

    Returns:
        Float tensor of the same shape.

    Raises:
        ValueError: If the inputs have another rank.

    Example:

    >>> layer = kerascale.layers.SinusoidalPositions()
    >>> layer(np.zeros((2, 10, 8), "float32")).shape
    (2, 10, 8)
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, input_shape: Shape) -> None:
        require_rank("SinusoidalPositions", input_shape, 3, "(batch, length, width)")

    def call(self, inputs: Any) -> Any:
        width = inputs.shape[-1]
        # Half precision cannot tell position 2049 from 2048.
        dtype = at_least_float32(self.compute_dtype)
        position = ops.arange(ops.shape(inputs)[1], dtype=dtype)
        # One frequency for each pair of columns; an odd width drops the last cosine.
        even_column = ops.arange(0, width, 2, dtype=dtype)
        frequency = ops.power(ops.cast(10000.0, dtype), -even_column / width)
        angle = ops.expand_dims(position, 1) * frequency
        waves = ops.stack([ops.sin(angle), ops.cos(angle)], axis=-1)
        waves = ops.reshape(waves, (-1, 2 * ((width + 1) // 2)))[:, :width]
        return inputs + ops.cast(waves, self.compute_dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)


def require_length(max_length: int | None, length: int | None) -> None:
    """Refuses a sequence that is known to be longer than `max_length`."""
    if max_length is not None and length is not None and length > max_length:
        raise ValueError(
            f"Expected a sequence of at most max_length={max_length} positions. "
            f"Received: a sequence of {length}. Cut the sequence, or create the "
            f"model with max_length={length} or more."
        )
