"""Saves weights at the end of epochs; a file is whole at any moment."""

import base64
import io
import math
import os
import pathlib
from typing import Any

import keras
import numpy as np

from kerascale.callbacks.deferred_writes import Unwritten
from kerascale.config.monitor import Monitor
from kerascale.engine import weights_file
from kerascale.errors import RefusedError
from kerascale.runtime import atomic_files, run_clock


class SaveWeights(keras.callbacks.Callback):
    """Writes the model's weights after each epoch, or after each better one.

    Unlike `keras.callbacks.ModelCheckpoint`, which writes in place, it replaces the
    file by one that is finished: a run that is stopped while it saves keeps the
    weights that it saved before.

    Weights that cannot be written are kept in memory, and in checkpoints; they are
    written at the end of a later epoch, or when training has ended.

    Args:
        path: The file; its name ends in `.weights.h5`.
        monitor: Save only when this metric is better than in all epochs before; a
            name is that of one that should fall. None: save after each epoch.
        unwritten: What happens where it cannot be written; None: training stops.
        start_from_epoch: From 0: nothing is saved before the end of that epoch.
    """

    # In each process that has it.
    reads_weights = True

    def __init__(
        self,
        path: str | os.PathLike,
        monitor: str | Monitor | None = None,
        unwritten: Unwritten | None = None,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__()
        self.start_from_epoch = start_from_epoch
        self.path = pathlib.Path(path)
        self.monitor = Monitor(monitor) if isinstance(monitor, str) else monitor
        self._notes = unwritten or Unwritten()
        # Those that wait to be written; None: none do.
        self._waiting: list[np.ndarray] | None = None
        self.best = math.inf if self.monitor is None else self.monitor.worst
        # From 0; None: nothing was saved.
        self.best_epoch: int | None = None

    def get_state(self) -> dict[str, Any]:
        """What a run that goes on must know."""
        state = {"best": self.best, "best_epoch": self.best_epoch}
        if self._waiting is not None:
            state["waiting"] = [_to_text(array) for array in self._waiting]
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        waiting = state.get("waiting")
        self._waiting = None if waiting is None else [_to_array(t) for t in waiting]
        # Else it was of a part of the run that was taken back.
        if self.path.exists() or waiting is not None:
            self.best, self.best_epoch = state["best"], state["best_epoch"]

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._waiting = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if epoch < self.start_from_epoch:
            return
        if self.monitor is not None:
            value = self._value(logs or {})
            if not self.monitor.is_better(value, self.best):
                self.write_now()
                return
            self.best, self.best_epoch = value, epoch
        self._waiting = None
        with run_clock.within(run_clock.SAVING):
            if not self._notes.attempt(self.path, self._write):
                self._waiting = _weights(self.model)

    def _value(self, logs: dict[str, Any]) -> float:
        if self.monitor.name not in logs:
            raise RefusedError(
                f"monitor: expected one of {', '.join(sorted(logs))}, which this "
                f"training has. Received: {self.monitor.name!r}."
            )
        return float(logs[self.monitor.name])

    def write_now(self) -> None:
        """Writes the weights that wait; if that cannot be done they wait on."""
        if self._waiting is None:
            return
        now = _weights(self.model)
        try:
            _set_weights(self.model, self._waiting)
            if self._notes.attempt(self.path, self._write):
                self._waiting = None
        finally:
            _set_weights(self.model, now)

    def _write(self) -> None:
        with atomic_files.replacing(self.path) as temporary:
            weights_file.write(self.model, temporary)


def _variables(model: keras.Model) -> list[keras.Variable]:
    """Those that a file of weights has: the optimizer's too."""
    return [*model.weights, *(model.optimizer.variables if model.optimizer else ())]


def _weights(model: keras.Model) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(v)) for v in _variables(model)]


def _set_weights(model: keras.Model, arrays: list[np.ndarray]) -> None:
    # Checkpoints of version 0.1.0 have what waited without the optimizer's.
    for variable, array in zip(_variables(model), arrays, strict=False):
        variable.assign(array)


def _to_text(array: np.ndarray) -> str:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return base64.b64encode(file.getvalue()).decode()


def _to_array(text: str) -> np.ndarray:
    return np.load(io.BytesIO(base64.b64decode(text)), allow_pickle=False)
