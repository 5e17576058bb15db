"""Tells the clock of the run what `fit` does, and keeps it in the run folder."""

import time
from collections.abc import Callable
from typing import Any

import keras

from kerascale.engine.data import waits
from kerascale.runtime import run_clock

_WRITE_SECONDS = 5.0


class TimeSpent(keras.callbacks.Callback):
    """Compiling, steps, waiting for data, evaluating.

    The first execution of a process is traced and compiled. What it takes longer than
    later ones is compiling; where there is none later, all of it counts as steps.

    Args:
        steps_per_epoch: Batches in one pass.
        first_step: Batches that had been trained when this process began.
        write: Called with the batches that have been trained in all, now and then, at
            the end of each epoch and whenever `write` is.
    """

    every_step = False

    def __init__(
        self, steps_per_epoch: int, first_step: int, write: Callable[[int], None]
    ) -> None:
        super().__init__()
        waits.ask()
        self._steps_per_epoch = steps_per_epoch
        self._write = write
        self._first: tuple[int, float] | None = None
        self._waited: float | None = None
        self._step = first_step
        self._compiling_included = True

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._written = time.monotonic()
        run_clock.enter(run_clock.STEPS)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch
        self._begun = None
        self._now = time.monotonic()
        self._waited = waits.seconds()
        run_clock.enter(run_clock.STEPS)

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        if self._begun is None:
            self._begun = batch

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        now = time.monotonic()
        done = min(batch + 1, self._steps_per_epoch)
        self._step = self._epoch * self._steps_per_epoch + done
        steps = done - (self._begun or 0)
        self._begun = done
        if self._first is None:
            self._first = steps, now - self._now
        elif self._compiling_included and steps:
            # The second execution tells what the first one's steps took.
            num, seconds = self._first
            own = num * (now - self._now) / steps
            run_clock.move(seconds - own, run_clock.STEPS, run_clock.COMPILING)
            self._compiling_included = False
        self._now = now
        if now - self._written >= _WRITE_SECONDS:
            self.write()

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._count_waits()
        run_clock.enter(run_clock.EVALUATING)

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        run_clock.enter(run_clock.STEPS)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._count_waits()
        run_clock.enter(run_clock.SAVING)
        self.write()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        run_clock.enter(run_clock.SAVING)

    def write(self) -> None:
        """Writes how long each part took until now."""
        self._count_waits(goes_on=True)
        self._write(self._step)
        self._written = time.monotonic()

    def _count_waits(self, goes_on: bool = False) -> None:
        if self._waited is None:
            return
        waited = waits.seconds()
        run_clock.move(waited - self._waited, run_clock.STEPS, run_clock.DATA)
        self._waited = waited if goes_on else None
