"""Token ids as vectors."""

from typing import Any

import keras

from kerascale.layers._arguments import positive_int


@keras.saving.register_keras_serializable(package="kerascale")
class TokenEmbedding(keras.layers.Embedding):
    """A `keras.layers.Embedding` whose vectors have entries of about unit size.

    The table starts normal with variance `1 / width`, and what is read from it is
    multiplied by `sqrt(width)`: section 3.4 of [Attention Is All You Need](
    https://arxiv.org/abs/1706.03762) (Vaswani et al., 2017). So the vectors match
    the size of sinusoidal positions, and of what initializers take an input to be.

    Args:
        vocabulary_size: Positive integer, the number of token ids including 0.
        width: Positive integer, the size of a token's vector.
        **kwargs: `mask_zero` and the other arguments of a `keras.layers.Embedding`.

    Call arguments:
        inputs: Integer tensor of shape `(batch, length)`.

    Returns:
        Float tensor of shape `(batch, length, width)`.

    Raises:
        ValueError: For a bad argument, or for ids that are not integers.

    Example:

    >>> layer = kerascale.layers.TokenEmbedding(100, 16)
    >>> layer(np.array([[1, 2, 0]])).shape
    (1, 3, 16)
    """

    def __init__(self, vocabulary_size: int, width: int, **kwargs: Any) -> None:
        width = positive_int("width", width)
        kwargs.setdefault(
            "embeddings_initializer",
            keras.initializers.RandomNormal(stddev=width**-0.5),
        )
        super().__init__(
            positive_int("vocabulary_size", vocabulary_size), width, **kwargs
        )

    def call(self, inputs: Any) -> Any:
        if not keras.backend.is_int_dtype(inputs.dtype):
            # Half precision has no 257: a model would have rounded float ids.
            dtype = keras.backend.standardize_dtype(inputs.dtype)
            raise ValueError(
                "Expected token ids, a tensor of integers. Received: inputs of dtype "
                f'{dtype}. Cast the ids in the data set, for example to "int32".'
            )
        return super().call(inputs) * self.output_dim**0.5

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config["vocabulary_size"] = config.pop("input_dim")
        config["width"] = config.pop("output_dim")
        return config
