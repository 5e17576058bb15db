"""Fails a run whose loss is no longer a number, before anything is saved."""

import math
from typing import Any

import keras
import numpy as np

from kerascale.engine.execution import step_functions
from kerascale.errors import NonFiniteError


class FailOnNonFinite(keras.callbacks.Callback):
    """Raises `NonFiniteError` when the loss is NaN or infinite.

    Unlike `keras.callbacks.TerminateOnNaN`, which ends `fit` as if it had
    succeeded. It must stand before callbacks that save: what they saved last is
    then finite. With `steps_per_execution` above 1 it looks once per execution, at
    the loss of each step where all of them are one program, else at their mean.

    Raises:
        NonFiniteError: From `fit`, naming the update.
    """

    every_step = False

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        losses = step_functions.step_losses(self.model)
        if losses is not None and not np.isfinite(losses).all():
            # Of the steps of this execution, the first one that failed.
            place = int(np.flatnonzero(~np.isfinite(losses))[0])
            last = min(batch, ((self.params or {}).get("steps") or batch + 1) - 1)
            batch = last - len(losses) + 1 + place
            after = last - batch
            self._check("loss", {"loss": losses[place]}, f"batch {batch + 1}", after)
        self._check("loss", logs, f"batch {batch + 1}")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._check("val_loss", logs, "validation")

    def _check(
        self, name: str, logs: dict[str, Any] | None, where: str, after: int = 0
    ) -> None:
        value = (logs or {}).get(name)
        if value is None or math.isfinite(float(value)):
            return
        step = int(keras.ops.convert_to_numpy(self.model.optimizer.iterations))
        # Of the batches that were trained after it.
        micro_batches = self.model.optimizer.gradient_accumulation_steps or 1
        step -= after // micro_batches
        raise NonFiniteError(
            f"The {name} became {float(value)} in epoch {self._epoch + 1}, {where} "
            f"(update {step}). Expected: a finite loss. Lower the learning rate, clip "
            "the gradients (--global-clipnorm 1), or look for NaN in the data."
        )
