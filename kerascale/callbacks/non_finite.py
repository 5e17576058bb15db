"""Fails a run whose loss is no longer a number, before anything is saved."""

import math
from typing import Any

import keras

from kerascale.errors import NonFiniteError


class FailOnNonFinite(keras.callbacks.Callback):
    """Raises `NonFiniteError` when the loss is NaN or infinite.

    Unlike `keras.callbacks.TerminateOnNaN`, which ends `fit` as if it had
    succeeded. It must stand before callbacks that save: what they saved last is
    then finite. With `steps_per_execution` above 1 it looks once per execution.

    Raises:
        NonFiniteError: From `fit`, naming the update.
    """

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        self._check("loss", logs, f"batch {batch + 1}")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._check("val_loss", logs, "validation")

    def _check(self, name: str, logs: dict[str, Any] | None, where: str) -> None:
        value = (logs or {}).get(name)
        if value is None or math.isfinite(float(value)):
            return
        step = int(keras.ops.convert_to_numpy(self.model.optimizer.iterations))
        raise NonFiniteError(
            f"The {name} became {float(value)} in epoch {self._epoch + 1}, {where} "
            f"(update {step}). Expected: a finite loss. Lower the learning rate, clip "
            "the gradients (--global-clipnorm 1), or look for NaN in the data."
        )
