"""The last layer of a regression: answers in the units of the targets."""

from collections.abc import Sequence
from typing import Any, Literal

import keras
from keras import ops

Link = Literal["identity", "log"]
# Beyond it an exponential is of no use, and soon no number.
_FAR = 20.0


def exponential(x: Any) -> Any:
    """`exp(x)`, with `x` held to -20..20."""
    return ops.exp(ops.clip(x, -_FAR, _FAR))


@keras.saving.register_keras_serializable(package="kerascale")
class TargetScale(keras.layers.Layer):
    """Gives answers the mean and the scale of the targets: `mean + scale * x`.

    With the link `log` it is `mean * exp(x)`: answers are positive, and what is learned
    are factors.

    A network learns best about numbers around 0 of size 1. With this layer behind it,
    its answers, and those of what is exported, are in the units of the data.

    Args:
        mean: Sequence of numbers, the mean of each target in the training examples.
        scale: Sequence of positive numbers, the standard deviation of each.
        link: `identity` or `log`.
        **kwargs: `name`, `dtype` and the other arguments of a `keras.layers.Layer`.

    Call arguments:
        inputs: Float tensor of shape `(batch, targets)`.

    Returns:
        Float tensor of the same shape.
    """

    def __init__(
        self,
        mean: Sequence[float],
        scale: Sequence[float],
        link: Link = "identity",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.link = link
        self.mean = tuple(float(value) for value in mean)
        self.scale = tuple(float(value) for value in scale)
        if len(self.mean) != len(self.scale) or not all(s > 0 for s in self.scale):
            raise ValueError(
                "`scale` must have a positive number for each one of `mean`. "
                f"Received: mean={mean}, scale={scale}."
            )
        if link not in ("identity", "log") or (link == "log" and min(self.mean) <= 0):
            raise ValueError(
                '`link` must be "identity", or "log" with positive means. '
                f"Received: link={link!r}, mean={mean}."
            )

    def build(self, input_shape: Any) -> None:
        if input_shape[-1] != len(self.mean):
            raise ValueError(
                f"Expected {len(self.mean)} targets. Received: "
                f"input_shape={tuple(input_shape)}."
            )

    def call(self, inputs: Any) -> Any:
        mean = ops.convert_to_tensor(self.mean, self.compute_dtype)
        if self.link == "log":
            return mean * exponential(inputs)
        scale = ops.convert_to_tensor(self.scale, self.compute_dtype)
        return inputs * scale + mean

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        own = {"mean": list(self.mean), "scale": list(self.scale), "link": self.link}
        return {**super().get_config(), **own}
