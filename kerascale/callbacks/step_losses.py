"""Records the loss of each step, where it is known."""

import pathlib
from typing import Any

import keras

from kerascale.engine.execution import step_functions
from kerascale.runs import step_losses
from kerascale.runtime.console import say


class StepLosses(keras.callbacks.Callback):
    """Writes the losses of an execution at its end, each at the place of its step.

    They are known on one replica, of models whose training step is Keras' own. Where
    they are not, nothing is written. A file that cannot be written, on a full disk
    say, ends no training: that is said once, and those losses stay unknown.

    Args:
        path: The file; see `kerascale.runs.step_losses`.
        steps_per_epoch: Batches in one pass.
    """

    every_step = False

    def __init__(self, path: pathlib.Path, steps_per_epoch: int) -> None:
        super().__init__()
        self._path = path
        self._steps_per_epoch = steps_per_epoch
        self._said = False

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._before = epoch * self._steps_per_epoch

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        losses = step_functions.step_losses(self.model)
        if losses is None:
            return
        # With `steps_per_execution` Keras counts a last execution as a whole one.
        done = self._before + min(batch + 1, self._steps_per_epoch)
        try:
            step_losses.write(self._path, done - len(losses), losses)
        except OSError as error:
            if not self._said:
                say(f"losses: {self._path} cannot be written ({error.strerror}).")
            self._said = True
