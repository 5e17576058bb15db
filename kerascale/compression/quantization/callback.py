"""Quantization in training as a Keras callback, for any `model.fit`."""

from typing import Any

import keras

from kerascale.compression.quantization import learning
from kerascale.compression.quantization.ranges import Ranges
from kerascale.errors import RefusedError


class QuantizeAware(keras.callbacks.Callback):
    """Trains a model so that it can be computed in integers of 8 bits.

    From an update on, weights are rounded to a grid for each output channel, and
    activations to grids whose ranges are moving averages of what global batches had;
    gradients pass as if nothing was rounded. It is the same under every strategy, and
    in each form of execution. When training ends, the weights are put on their grids,
    `ranges` has those of the activations, and the model is as Keras made it.

    Args:
        begin: The update of the optimizer, from 0, from which on steps are quantized.
            Before it ranges are looked at.
        keep: Whether the model stays so when training ends, for a `fit` that goes on.

    Attributes:
        ranges: What was learned, once training has ended.

    Raises:
        RefusedError: For a bad argument; and from `fit`, before the first step, if the
            model is not scaled, compiled and built, or has nothing to quantize.

    Example:

    ```python
    aware = QuantizeAware(begin=1000)
    model.fit(x, y, epochs=10, callbacks=[aware])
    with aware.ranges.applied(model):
        model.evaluate(x, y)  # As integers answer.
    ```
    """

    # It need not look at every step.
    every_step = False

    def __init__(self, begin: int = 0, *, keep: bool = False) -> None:
        super().__init__()
        if not (isinstance(begin, int) and begin >= 0):
            raise RefusedError(
                "begin: expected the number of an update, an integer >= 0. Received: "
                f"{begin!r}."
            )
        self.begin = begin
        self.keep = keep
        self.ranges: Ranges | None = None

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        if learning.of(model) is None:
            learning.install(model, self.begin)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        names = learning.of(self.model).places.names
        if self.keep:
            self.ranges = Ranges.of(names, learning.of(self.model).values())
        else:
            self.ranges = Ranges.of(names, learning.strip(self.model))
            self.model.train_function = None
