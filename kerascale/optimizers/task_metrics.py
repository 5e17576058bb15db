"""Metrics of tasks, as sums over examples: replicas count as one device does.

Keras' `R2Score` counts each of several targets as an example of its own (3.15.1), and
subtracts two large numbers where targets are far from 0. These look at targets in units
of their deviation, and give the mean over targets, as scikit-learn does.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


class _OfTargets(keras.metrics.Metric):
    """Abstract: sums over examples, one for each target.

    Args:
        mean: Of each target in the training examples.
        scale: The standard deviation of each.
        name: Of the metric.
        **kwargs: `dtype`, as in `keras.metrics.Metric`.
    """

    _sums: tuple[str, ...] = ()

    def __init__(
        self, mean: Sequence[float], scale: Sequence[float], name: str, **kwargs: Any
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.mean = tuple(float(value) for value in mean)
        self.scale = tuple(float(value) for value in scale)
        shape = (len(self.mean),)
        for each in (*self._sums, "count"):
            variable = self.add_variable(
                shape=shape, initializer=keras.initializers.Zeros(), name=each
            )
            setattr(self, each, variable)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        y_pred = ops.cast(y_pred, self.dtype)
        y_true = ops.reshape(ops.cast(y_true, self.dtype), ops.shape(y_pred))
        scale = ops.convert_to_tensor(self.scale, self.dtype)
        centred = (y_true - ops.convert_to_tensor(self.mean, self.dtype)) / scale
        error = (y_pred - y_true) / scale
        weights = ops.ones_like(error)
        if sample_weight is not None:
            weights = weights * ops.reshape(
                ops.cast(sample_weight, self.dtype), (-1, 1)
            )
        added = {"count": ops.ones_like(error), **self._values(centred, error)}
        for name, values in added.items():
            variable = getattr(self, name)
            variable.assign(variable + ops.sum(values * weights, axis=0))

    def _values(self, centred: Any, error: Any) -> dict[str, Any]:
        """Name of each sum -> what each example adds, of shape (batch, targets)."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        own = {"mean": list(self.mean), "scale": list(self.scale)}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="kerascale")
class TargetMAE(_OfTargets):
    """Mean absolute error in the units of the targets, averaged over them."""

    _sums = ("absolute",)

    def _values(self, centred: Any, error: Any) -> dict[str, Any]:
        return {"absolute": ops.abs(error)}

    def result(self) -> Any:
        scale = ops.convert_to_tensor(self.scale, self.dtype)
        return ops.mean(ops.divide_no_nan(self.absolute, self.count) * scale)


@keras.saving.register_keras_serializable(package="kerascale")
class TargetRMSE(_OfTargets):
    """Root mean squared error in the units of the targets, averaged over them."""

    _sums = ("squares",)

    def _values(self, centred: Any, error: Any) -> dict[str, Any]:
        return {"squares": ops.square(error)}

    def result(self) -> Any:
        scale = ops.convert_to_tensor(self.scale, self.dtype)
        mean = ops.divide_no_nan(self.squares, self.count)
        return ops.mean(ops.sqrt(mean) * scale)


@keras.saving.register_keras_serializable(package="kerascale")
class R2(_OfTargets):
    """Share of the targets' variance that is explained, averaged over targets.

    `1 - sum((y - p)^2) / sum((y - mean(y))^2)`, over the examples that it has seen; 0
    for a target that is the same in all of them.
    """

    _sums = ("squares", "total", "total_squares")

    def _values(self, centred: Any, error: Any) -> dict[str, Any]:
        return {
            "squares": ops.square(error),
            "total": centred,
            "total_squares": ops.square(centred),
        }

    def result(self) -> Any:
        mean = ops.divide_no_nan(self.total, self.count)
        spread = self.total_squares - ops.square(mean) * self.count
        r2 = 1 - ops.divide_no_nan(self.squares, spread)
        return ops.mean(ops.where(spread > 0, r2, ops.zeros_like(r2)))


@keras.saving.register_keras_serializable(package="kerascale")
class PositiveAUC(keras.metrics.AUC):
    """Area under the ROC curve of the second of two classes.

    Labels are class indices of shape `(batch,)`, predictions probabilities of shape
    `(batch, 2)`. As `keras.metrics.AUC` it looks at 200 thresholds.
    """

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        y_pred = ops.convert_to_tensor(y_pred)
        positive = y_pred[..., 1]
        y_true = ops.reshape(ops.cast(y_true, "int32"), ops.shape(positive))
        super().update_state(y_true, positive, sample_weight)


@keras.saving.register_keras_serializable(package="kerascale")
class RankMAE(keras.metrics.Mean):
    """Mean distance of the middle rank that is predicted from the true one.

    Labels are ranks of shape `(batch,)`, predictions probabilities of shape `(batch,
    ranks)`. The median of the predicted ranks is what has the smallest mean distance.
    """

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        y_pred = ops.cast(y_pred, self.dtype)
        # The first rank up to which lies half of the probability.
        median = ops.sum(ops.cast(ops.cumsum(y_pred, axis=-1) < 0.5, self.dtype), -1)
        y_true = ops.reshape(ops.cast(y_true, self.dtype), ops.shape(median))
        super().update_state(ops.abs(median - y_true), sample_weight)
