"""Losses of tasks that Keras has in other units, or not."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerascale")
class ScaledSquaredError(keras.losses.Loss):
    """Mean of `((y_true - y_pred) / scale)^2`: squared errors in units of the scale.

    With the standard deviation of the targets it is 1 for who always answers their
    mean, and the same learning rate suits prices and temperatures; several targets
    count the same, whatever their units.

    Args:
        scale: Sequence of positive numbers, one for each target.
        name: Of the loss.
        **kwargs: `reduction` and `dtype`, as in `keras.losses.Loss`.
    """

    def __init__(
        self, scale: Sequence[float], name: str = "scaled_squared_error", **kwargs: Any
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.scale = tuple(float(value) for value in scale)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        y_pred = ops.convert_to_tensor(y_pred)
        y_true = ops.reshape(ops.cast(y_true, y_pred.dtype), ops.shape(y_pred))
        scale = ops.convert_to_tensor(self.scale, y_pred.dtype)
        return ops.mean(ops.square((y_true - y_pred) / scale), axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": list(self.scale)}


@keras.saving.register_keras_serializable(package="kerascale")
class PoissonDeviance(keras.losses.Loss):
    """Mean of `2 (y log(y / p) - y + p) / mean`, the deviance of Poisson's counts.

    It is small where the answer `p` is the mean of the targets `y`, as squared errors
    are; but it takes the variance to grow with the mean, so that large targets, which
    scatter more, do not decide everything (McCullagh and Nelder, "Generalized Linear
    Models", 1989, section 6.2). Divided by the mean, units do not matter.

    Args:
        mean: Sequence of positive numbers, one for each target.
        name: Of the loss.
        **kwargs: `reduction` and `dtype`, as in `keras.losses.Loss`.
    """

    def __init__(
        self, mean: Sequence[float], name: str = "poisson_deviance", **kwargs: Any
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.mean = tuple(float(value) for value in mean)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        y_pred = ops.convert_to_tensor(y_pred)
        y_true = ops.reshape(ops.cast(y_true, y_pred.dtype), ops.shape(y_pred))
        mean = ops.convert_to_tensor(self.mean, y_pred.dtype)
        true, given = y_true / mean, y_pred / mean
        # y log y is 0 where y is.
        logarithm = ops.log(ops.where(true > 0, true, ops.ones_like(true)))
        values = true * (logarithm - ops.log(given)) - true + given
        return 2 * ops.mean(values, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mean": list(self.mean)}
