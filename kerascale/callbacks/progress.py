"""Progress for the person who watches: a line per epoch, a view on a terminal."""

import shutil
import time
from typing import Any

import keras

from kerascale.callbacks.speed import Speed
from kerascale.engine.data import waits
from kerascale.runtime.console import duration, is_live, say, show
from kerascale.runtime.free_memory import resident_bytes
from kerascale.runtime.live_view import LiveView, flow

# Piped output gets a line at the end of each epoch, and in between after this.
_LINE_SECONDS = 10.0
# How often a view is drawn: seldom enough to cost nothing.
_VIEW_SECONDS = 0.5
# Of less nothing is said of its share.
_LEAST_SECONDS = 0.01


class Progress(keras.callbacks.Callback):
    """Shows epoch, step, speed, the time that is left, loss, metrics and more.

    It writes to standard error one line per epoch; on a terminal also a view of the
    whole run, which redraws itself below them, elsewhere a line every 10 s. Use
    `fit(verbose=0)` with it. The view needs `kerascale.runtime.console.live()` around
    `fit`.

    Args:
        examples_per_epoch: Examples in one pass.
        steps_per_epoch: Batches in one pass.
        total_steps: Batches in all, where training ends in the middle of an epoch;
            None: those of all epochs.
    """

    every_step = False

    def __init__(
        self,
        examples_per_epoch: int,
        steps_per_epoch: int,
        total_steps: int | None = None,
    ) -> None:
        super().__init__()
        self._total_steps = total_steps
        self.examples_per_epoch = examples_per_epoch
        self.steps_per_epoch = steps_per_epoch
        waits.ask()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._epochs = self.params["epochs"]
        self._steps_in_all = self._total_steps or self._epochs * self.steps_per_epoch
        self._is_terminal = is_live()
        self._speed = Speed()
        self._last = time.monotonic()
        # Tracing and compiling is no part of the speed: it begins behind the first
        # execution, after this many examples.
        self._began: tuple[int, float] | None = None
        self._very_first: tuple[int, float] | None = None
        self._validating = ""
        # Since when steps are timed in this epoch, and what they had waited then; and
        # the share of the time that they wait.
        self._timed: tuple[float, float] | None = None
        self._wait: float | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch, self._step, self._logs = epoch, 0, logs
        self._epoch_began = time.monotonic()
        self._validating = ""
        self._timed = None
        if self._began is not None:
            self._timed = self._epoch_began, waits.seconds()
            self._speed.begin(self._done(), self._epoch_began)

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        now = time.monotonic()
        self._step = min(batch + 1, self.steps_per_epoch)
        self._logs = logs
        if self._began is None:
            before = batch + 1 - self.model.steps_per_execution
            self._very_first = self._done(max(before, 0)), self._epoch_began
            self._began = self._done(), now
            self._speed.begin(self._done(), now)
        self._speed.add(self._done(), now)
        if self._timed is None:
            self._timed = now, waits.seconds()
        if self._is_terminal:
            if now - self._last >= _VIEW_SECONDS:
                self._show(now)
        elif now - self._last >= _LINE_SECONDS:
            self._line(logs, now)

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._end_training()
        self._validating = "validating"
        if self._is_terminal and self._began is not None:
            self._show(time.monotonic())

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._end_training()
        self._validating = ""
        now = time.monotonic()
        if self._is_terminal:
            width = shutil.get_terminal_size().columns
            first, *more = flow((self._place(), *_values(logs)), width)
            say("\n".join([first, *(f"  {line}" for line in more)]))
            self._show(now)
        else:
            self._line(logs, now)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._is_terminal:
            show(None)

    # ------------------------------------------------------------------ numbers

    def _done(self, step: int | None = None) -> int:
        """Examples that have been trained in all epochs, up to a step of this one."""
        step = self._step if step is None else step
        share = step / self.steps_per_epoch
        return round((self._epoch + share) * self.examples_per_epoch)

    def _all_examples(self) -> int:
        share = self._steps_in_all / self.steps_per_epoch
        return round(share * self.examples_per_epoch)

    def _end_training(self) -> None:
        self._note_waiting()
        self._timed = None
        self._speed.end(self._done(), time.monotonic())

    def _left(self, now: float) -> str:
        """The time that is left, validation and all."""
        todo = self._all_examples() - self._done()
        rate = self._rate_since(self._began, now)
        if rate is None:  # There was one execution, and its compilation.
            rate = self._rate_since(self._very_first, now)
        return "? left" if rate is None else f"{duration(todo / rate)} left"

    def _rate_since(self, begin: tuple[int, float] | None, now: float) -> float | None:
        if begin is None or self._done() <= begin[0] or now <= begin[1]:
            return None
        return (self._done() - begin[0]) / (now - begin[1])

    def _place(self) -> str:
        width = len(str(self._epochs))
        return f"epoch {self._epoch + 1:>{width}}/{self._epochs}"

    def _steps(self) -> str:
        step = self._epoch * self.steps_per_epoch + self._step
        return f"step {step:,}/{self._steps_in_all:,}"

    def _rates(self, now: float) -> list[str]:
        speed = self._speed.now(self._done(), now)
        median = self._speed.median(self._done(), now)
        if speed is None:
            speed = median = self._rate_since(self._very_first, now)
        if speed is None:
            return []
        return [f"{speed:,.0f} examples/s (median {median:,.0f})"]

    def _machine(self) -> list[str]:
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        return [f"learning rate {rate:.3g}", *self._waiting(), _memory()]

    def _waiting(self) -> list[str]:
        self._note_waiting()
        if self._wait is None:
            return []
        return [f"waiting for data {100 * self._wait:.0f}%"]

    def _note_waiting(self) -> None:
        if self._timed is None:
            return
        began, before = self._timed
        seconds = time.monotonic() - began
        if seconds > _LEAST_SECONDS:
            self._wait = min(1.0, (waits.seconds() - before) / seconds)

    # -------------------------------------------------------------------- shown

    def _show(self, now: float) -> None:
        self._last = now
        share = self._done() / self._all_examples()
        items = [*_values(self._logs), *self._rates(now), *self._machine()]
        head = [self._place(), self._steps(), *filter(None, [self._validating])]
        show(LiveView(tuple(head), share, self._left(now), tuple(items)))

    def _line(self, logs: dict[str, Any] | None, now: float) -> None:
        self._last = now
        parts = [self._place(), self._steps(), *_values(logs)]
        say("  ".join([*parts, *self._rates(now), *self._machine(), self._left(now)]))


def _memory() -> str:
    return f"memory {resident_bytes() / 2**30:.2f} GiB"


def _values(logs: dict[str, Any] | None) -> list[str]:
    # The loss first, then what it was trained for, then validation.
    logs = dict(sorted((logs or {}).items(), key=lambda item: _rank(item[0])))
    return [f"{name} {float(value):.4f}" for name, value in logs.items()]


def _rank(name: str) -> tuple[bool, bool, str]:
    return (name.startswith("val_"), name.removeprefix("val_") != "loss", name)
