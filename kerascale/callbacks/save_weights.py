"""Saves weights at the end of epochs; a file is whole at any moment."""

import math
import os
import pathlib
from typing import Any

import keras


class SaveWeights(keras.callbacks.Callback):
    """Writes the model's weights after each epoch, or after each better one.

    Unlike `keras.callbacks.ModelCheckpoint`, which writes in place, it replaces the
    file by one that is finished: a run that is stopped while it saves keeps the
    weights that it saved before.

    Args:
        path: The file; its name ends in `.weights.h5`.
        monitor: Save only when this metric, which should fall, is below all before;
            None: save after each epoch.
    """

    def __init__(self, path: str | os.PathLike, monitor: str | None = None) -> None:
        super().__init__()
        self.path = pathlib.Path(path)
        self.monitor = monitor
        self.best = math.inf
        # From 0; None: nothing was saved.
        self.best_epoch: int | None = None

    def get_state(self) -> dict[str, float | int | None]:
        """What a run that goes on must know."""
        return {"best": self.best, "best_epoch": self.best_epoch}

    def set_state(self, state: dict[str, float | int | None]) -> None:
        if self.path.exists():  # Else it was of a part of the run that was taken back.
            self.best, self.best_epoch = state["best"], state["best_epoch"]

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.monitor is not None:
            value = float((logs or {}).get(self.monitor, math.nan))
            if not value < self.best:
                return
            self.best, self.best_epoch = value, epoch
        # On the same filesystem, so that the replacement is atomic.
        temporary = self.path.with_name(f".writing-{self.path.name}")
        try:
            self.model.save_weights(temporary, overwrite=True)
            os.replace(temporary, self.path)
        finally:
            temporary.unlink(missing_ok=True)
