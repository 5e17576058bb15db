"""How an image or a flat vector is read as a sequence."""

from typing import Any

import keras
from keras import ops

from kerascale.layers._arguments import positive_int
from kerascale.layers._common import Shape


@keras.saving.register_keras_serializable(package="kerascale")
class ToSequence(keras.layers.Layer):
    """Reads images, vectors and sequences as sequences of vectors.

    | Input | Output |
    |---|---|
    | flat vector `(batch, features)` | `(batch, features, 1)`: one value a step |
    | sequence `(batch, length, features)` | as it is |
    | image `(batch, height, width, channels)` | `(batch, height, width * channels)`: one row a step |
    | image, with `patch_size=p` | `(batch, (height / p) * (width / p), p * p * channels)`: one patch a step, row by row |

    Args:
        patch_size: Positive integer, the side of the square patches that an image
            is cut in. `None`, the default, reads an image row by row.
        **kwargs: `name`, `dtype` and the other arguments of a `keras.layers.Layer`.

    Call arguments:
        inputs: Float tensor of one of the shapes above.

    Returns:
        Float tensor of shape `(batch, length, features)`.

    Raises:
        ValueError: If the input has another shape, or if an image cannot be cut in
            whole patches.

    Example:

    >>> kerascale.layers.ToSequence(4)(np.zeros((2, 8, 8, 3), "float32")).shape
    (2, 4, 48)
    """  # noqa: E501

    def __init__(self, patch_size: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if patch_size is not None:
            patch_size = positive_int("patch_size", patch_size)
        self.patch_size = patch_size

    def build(self, input_shape: Shape) -> None:
        self._check(tuple(input_shape))

    def _check(self, shape: Shape) -> None:
        if len(shape) not in (2, 3, 4):
            raise ValueError(
                "Expected a flat vector (batch, features), a sequence (batch, length, "
                "features) or an image (batch, height, width, channels). "
                f"Received: input_shape={shape}."
            )
        # Only the length of a sequence, which is the height of an image, is free.
        fixed = shape[1:] if len(shape) == 2 else shape[2:]
        if None in fixed:
            raise ValueError(
                "Expected every dimension but the batch and the length of the "
                f"sequence to be known. Received: input_shape={shape}."
            )
        if self.patch_size is None:
            return
        if len(shape) != 4:
            raise ValueError(
                "`patch_size` is for images, of shape (batch, height, width, "
                f"channels). Received: patch_size={self.patch_size} and "
                f"input_shape={shape}. Leave `patch_size` out."
            )
        if (
            None in shape[1:3]
            or shape[1] % self.patch_size
            or shape[2] % self.patch_size
        ):
            raise ValueError(
                "`patch_size` must divide the height and the width of the image. "
                f"Received: patch_size={self.patch_size} and input_shape={shape}. "
                "Choose a divisor of both, or resize the images."
            )

    def call(self, inputs: Any) -> Any:
        shape = self.compute_output_shape(inputs.shape)
        if self.patch_size is not None:
            _, height, width, channels = inputs.shape
            side = self.patch_size
            grid = (-1, height // side, side, width // side, side, channels)
            inputs = ops.transpose(ops.reshape(inputs, grid), (0, 1, 3, 2, 4, 5))
        # The height of an image may be free, and so may the batch: only one of
        # them can be left to `reshape`.
        length = ops.shape(inputs)[1] if shape[1] is None else shape[1]
        return ops.reshape(inputs, (-1, length, shape[2]))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) == 2:
            return (*input_shape, 1)
        if len(input_shape) == 3:
            return tuple(input_shape)
        batch, height, width, channels = input_shape
        if self.patch_size is None:
            return (batch, height, width * channels)
        side = self.patch_size
        return (batch, (height // side) * (width // side), side * side * channels)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "patch_size": self.patch_size}
