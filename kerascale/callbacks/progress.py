"""Progress for the person who watches: a line per epoch, a bar on a terminal."""

import os
import shutil
import sys
import time
from typing import Any

import keras
import tqdm

from kerascale.console import duration, is_terminal, say

# Piped output gets a line at the end of each epoch, and in between when an epoch
# takes longer than this.
_LINE_SECONDS = 30.0


class Progress(keras.callbacks.Callback):
    """Shows epoch, loss, metrics, examples per second and the time that is left.

    It writes to standard error one plain line per epoch; on a terminal also a bar
    over the whole run, which redraws itself below them, elsewhere a line every 30 s
    in an epoch that takes longer. Use `fit(verbose=0)` with it.

    Args:
        examples_per_epoch: Examples in one pass.
        steps_per_epoch: Batches in one pass.
    """

    every_step = False

    def __init__(self, examples_per_epoch: int, steps_per_epoch: int) -> None:
        super().__init__()
        self.examples_per_epoch = examples_per_epoch
        self.steps_per_epoch = steps_per_epoch

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._epochs = self.params["epochs"]
        self._began = self._last_line = time.monotonic()
        # Tracing, compiling and validating: no part of the speed.
        self._first_step_seconds: float | None = None
        self._validation_seconds = 0.0
        self._bar = None
        if is_terminal():
            self._bar = tqdm.tqdm(
                total=self._epochs * self.examples_per_epoch,
                unit=" examples",
                unit_scale=True,
                file=sys.stderr,
                **_width(),
                mininterval=0.2,
                bar_format="{desc} {percentage:3.0f}%|{bar:12}| {rate_fmt}, "
                "{remaining} left{postfix}",
            )

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch
        self._epoch_began = time.monotonic()
        if self._bar is not None:
            self._bar.set_description_str(f"epoch {epoch + 1}/{self._epochs}")

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        now = time.monotonic()
        if self._first_step_seconds is None:
            self._first_step_seconds = now - self._epoch_began
        share = (batch + 1) / self.steps_per_epoch
        done = self._epoch * self.examples_per_epoch + round(
            share * self.examples_per_epoch
        )
        if self._bar is not None:
            self._bar.update(done - self._bar.n)
            if now - self._last_line >= 1.0:
                self._last_line = now
                loss = (logs or {}).get("loss")
                if loss is not None:
                    self._bar.set_postfix_str(f"loss {float(loss):.4f}", refresh=False)
        elif now - self._last_line >= _LINE_SECONDS:
            self._line(f"{share:4.0%}", logs, done, now)

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._validation_began = time.monotonic()

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        self._validation_seconds += time.monotonic() - self._validation_began

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        now = time.monotonic()
        self._line("", logs, (epoch + 1) * self.examples_per_epoch, now)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._bar is not None:
            self._bar.close()

    def _line(
        self, share: str, logs: dict[str, Any] | None, done: int, now: float
    ) -> None:
        self._last_line = now
        elapsed = now - self._began - (self._first_step_seconds or 0.0)
        rate = done / max(elapsed - self._validation_seconds, 1e-9)
        left = (self._epochs * self.examples_per_epoch - done) * elapsed / done
        width = len(str(self._epochs))
        say(
            f"epoch {self._epoch + 1:>{width}}/{self._epochs} {share}"
            f"{_values(logs)}  {rate:,.0f} examples/s, {duration(left)} left"
        )


def _width() -> dict[str, Any]:
    # Some terminals say that they have no columns or lines; tqdm would show nothing.
    try:
        size = os.get_terminal_size(sys.stderr.fileno())
    except OSError:  # Another process shows the bar, and says how wide it may be.
        size = shutil.get_terminal_size()
        return {"ncols": size.columns, "nrows": size.lines}
    if size.columns and size.lines:
        return {"dynamic_ncols": True}
    return {"ncols": size.columns or 100, "nrows": size.lines or 20}


def _values(logs: dict[str, Any] | None) -> str:
    # The loss first, then what it was trained for, then validation.
    logs = dict(sorted((logs or {}).items(), key=lambda item: _rank(item[0])))
    return "".join(f"  {name} {float(value):.4f}" for name, value in logs.items())


def _rank(name: str) -> tuple[bool, bool, str]:
    return (name.startswith("val_"), name.removeprefix("val_") != "loss", name)
