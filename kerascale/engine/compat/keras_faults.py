"""Faults of Keras 3.15.1 that later releases have mended, mended in a model in place.

What is saved keeps Keras' names, and loads without kerascale. When a release of Keras
mends one, `tests/engine/test_keras_faults.py` fails and says which class may go.
"""

from typing import Any

import keras

from kerascale.engine.compat import keras_private
from kerascale.runtime.console import say


class WithDelta:
    """Put in front of `Huber`, whose configuration forgets `delta`."""

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "delta": self._fn_kwargs["delta"]}


class CountingRows:
    """Put in front of `R2Score`, which counts each output of a row as a sample.

    With `num_regressors` its result cannot be traced either.
    """

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        # Not there before the first.
        before = getattr(self, "num_samples", 0) + 0
        super().update_state(y_true, y_pred, sample_weight)
        rows = keras.ops.shape(y_true)[0]
        self.num_samples.assign(before + keras.ops.cast(rows, self.num_samples.dtype))

    def result(self) -> Any:
        regressors, self.num_regressors = self.num_regressors, 0
        try:
            score = super().result()
        finally:
            self.num_regressors = regressors
        if not regressors:
            return score
        left = self.num_samples - 1 - regressors
        adjusted = 1 - (1 - score) * (self.num_samples - 1) / left
        # As Keras falls back where there are too few rows.
        return keras.ops.where(left > 0, adjusted, score)


class LeavingTraining:
    """Put in front of `Resizing` and `CenterCrop`.

    Their `call` has `training=True` by default. In `model(x)` that holds for all layers
    behind them too: `BatchNormalization` uses, and changes, statistics.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with keras_private.training_kept():
            return super().__call__(*args, **kwargs)


class CroppingAlways:
    """Put in front of `RandomCrop`, which crops in training only.

    Keras documents for inference the largest window of the same aspect ratio, resized.
    """

    def transform_images(
        self, images: Any, transformation: Any, training: bool = True
    ) -> Any:
        if training:
            return super().transform_images(images, transformation, training)
        images = keras.ops.image.resize(
            keras.ops.cast(images, self.compute_dtype),
            (self.height, self.width),
            crop_to_aspect_ratio=True,
            data_format=self.data_format,
        )
        return keras.ops.cast(images, self.compute_dtype)


_OF_LAYERS = {
    keras.layers.Resizing: LeavingTraining,
    keras.layers.CenterCrop: LeavingTraining,
    keras.layers.RandomCrop: CroppingAlways,
}
_OF_LOSSES = {keras.losses.Huber: WithDelta}
_OF_METRICS = {keras.metrics.R2Score: CountingRows}


def mend(model: keras.Model) -> None:
    """Mends what a model has of them; called again, it looks for what is new."""
    crops = [
        layer.name
        for layer in keras_private.all_layers(model)
        if _mended(layer, _OF_LAYERS) and isinstance(layer, CroppingAlways)
    ]
    if crops:
        say(
            f"note: {', '.join(crops)}: RandomCrop crops the centre in evaluate and "
            "predict, as Keras documents it; Keras 3.15 alone leaves images whole."
        )
    # A model that was never compiled has no such attribute.
    for loss in keras.tree.flatten(getattr(model, "loss", None)):
        _mended(loss, _OF_LOSSES)
    for metric in keras_private.given_metrics(model):
        _mended(metric, _OF_METRICS)


def _mended(thing: Any, classes: dict[type, type]) -> bool:
    """Whether it is one of these, and was not mended yet. Not what is derived."""
    found = classes.get(type(thing))
    if found is not None:
        keras_private.adopt_class(thing, found)
    return found is not None
