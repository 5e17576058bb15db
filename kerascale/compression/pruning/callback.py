"""Pruning as a Keras callback, for any `model.fit`."""

from typing import Any

import keras

from kerascale.compression.pruning import masks
from kerascale.compression.pruning.choice import Structure
from kerascale.compression.pruning.plan import Plan, cubic


class Pruning(keras.callbacks.Callback):
    """Puts a growing share of the weights to zero while a model trains.

    Those of the smallest magnitude in each kernel go, on the cubic schedule of Zhu and
    Gupta 2017; where they are gone they stay zero, whatever the optimizer remembers.
    Masks hold under every strategy, with any `steps_per_execution` and `jit_compile`,
    and in a plain Keras model. When training ends they are taken away, and the model is
    as Keras made it, with zeros.

    Args:
        rate: The share that is pruned in the end, above 0 and below 1.
        structure: `unstructured`: single weights. `2:4`: two of each four weights that
            follow one another among a unit's inputs, as sparse tensor cores want them,
            for a `rate` of 0.5. `units`: whole units and filters, `heads`: attention
            heads, which `cut` takes out of the model.
        begin: The update of the optimizer, from 0, at which pruning begins.
        end: The update at which it ends.
        frequency: Updates after which a mask is chosen anew; None: about 20 times.
        keep_masks: Whether masks stay when training ends, for a `fit` that goes on.

    Raises:
        RefusedError: For a bad argument; and from `fit`, before the first step, if the
            model is not compiled and built, or has nothing of that structure.

    Example:

    ```python
    model.fit(x, y, epochs=10, callbacks=[Pruning(0.8, end=2000)])
    ```
    """

    # It need not look at every step.
    every_step = False

    def __init__(
        self,
        rate: float,
        *,
        end: int,
        begin: int = 0,
        structure: Structure = "unstructured",
        frequency: int | None = None,
        keep_masks: bool = False,
    ) -> None:
        super().__init__()
        self.structure = structure
        self.plan: Plan = cubic(rate, begin, end, frequency)
        self.keep_masks = keep_masks

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        if masks.of(model) is None:
            masks.install(model, self.plan, self.structure)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        # Behind Keras' own end of a moving average, which writes all weights.
        masks.of(self.model).apply()
        if not self.keep_masks:
            masks.strip(self.model)
            self.model.train_function = None
