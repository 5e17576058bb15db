"""Keeps the features of a fine-tuned model still, for some epochs."""

from typing import Any

import keras

from kerascale.models.fine_tuning import GradientGate


class Thaw(keras.callbacks.Callback):
    """Closes the `GradientGate` of a model, and opens it at an epoch.

    It has no memory: the epoch decides. The state of the gate is a variable of the
    model, and in its checkpoints.

    Args:
        frozen_epochs: Epochs, from the first one, in which the gate is closed.
    """

    every_step = False

    def __init__(self, frozen_epochs: int) -> None:
        super().__init__()
        self.frozen_epochs = frozen_epochs

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch: int | None = epoch

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        # Not before: a run that goes on is given its state when its epoch begins, and
        # that of the end of the last frozen epoch has a closed gate.
        if self._epoch is None:
            return
        is_open, self._epoch = self._epoch >= self.frozen_epochs, None
        for layer in self.model.layers:
            if isinstance(layer, GradientGate):
                layer.is_open.assign(float(is_open))
