"""The last layer of a regression: answers in the units of the targets."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerascale")
class TargetScale(keras.layers.Layer):
    """Gives answers the mean and the scale of the targets: `mean + scale * x`.

    A network learns best about numbers around 0 of size 1. With this layer behind it,
    its answers, and those of what is exported, are in the units of the data.

    Args:
        mean: Sequence of numbers, the mean of each target in the training examples.
        scale: Sequence of positive numbers, the standard deviation of each.
        **kwargs: `name`, `dtype` and the other arguments of a `keras.layers.Layer`.

    Call arguments:
        inputs: Float tensor of shape `(batch, targets)`.

    Returns:
        Float tensor of the same shape.
    """

    def __init__(
        self, mean: Sequence[float], scale: Sequence[float], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.mean = tuple(float(value) for value in mean)
        self.scale = tuple(float(value) for value in scale)
        if len(self.mean) != len(self.scale) or not all(s > 0 for s in self.scale):
            raise ValueError(
                "`scale` must have a positive number for each one of `mean`. "
                f"Received: mean={mean}, scale={scale}."
            )

    def build(self, input_shape: Any) -> None:
        if input_shape[-1] != len(self.mean):
            raise ValueError(
                f"Expected {len(self.mean)} targets. Received: "
                f"input_shape={tuple(input_shape)}."
            )

    def call(self, inputs: Any) -> Any:
        mean = ops.convert_to_tensor(self.mean, self.compute_dtype)
        scale = ops.convert_to_tensor(self.scale, self.compute_dtype)
        return inputs * scale + mean

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        own = {"mean": list(self.mean), "scale": list(self.scale)}
        return {**super().get_config(), **own}
