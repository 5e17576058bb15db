"""Saves the state of a run, and gives it back where a run goes on."""

import collections
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from kerascale.callbacks import states
from kerascale.callbacks.deferred_writes import RecordFile
from kerascale.callbacks.resume_point import ResumePoint
from kerascale.engine import state
from kerascale.engine.collectives import consensus, stop_votes, whole
from kerascale.errors import NonFiniteError, SaveFailedError, StoppedError
from kerascale.optimizers import rollback_rates
from kerascale.runs.checkpoint import Writer
from kerascale.runtime import interrupts, run_clock
from kerascale.runtime.array_parts import ArrayParts


class SaveCheckpoints(keras.callbacks.Callback):
    """Saves every so many steps or seconds, at the end of epochs, and on a signal.

    It stands last, so that what it saves of other callbacks is of the same moment.

    Args:
        writer: Where to; None on a worker that writes nothing.
        steps_per_epoch: Batches in one pass.
        remembering: Callbacks whose memory is a part of the state.
        files: Text files that grow with the run, by name; what `remembering` writes
            into them may wait in memory.
        every_steps: Batches between two saves; None: no such saves.
        every_seconds: Seconds between two saves; None: no such saves.
        save_first: Whether the state before the first step is saved.
        resumed: Where the run goes on; None: it is new.
        failed: What the writer could not save is put here, if training goes on
            then; the state is not said to be saved as long as that is so.
        saved: Called when a checkpoint is on the disk, in the writer's thread.
        in_parts: Whether the model is cut over processes of a mesh, each of which
            writes its part.
        is_chief: Whether this process writes what is not cut.

    Raises:
        StoppedError: From `fit`, when a signal has asked to stop and all is saved.
        SaveFailedError: When a signal has asked to stop and that could not be saved.
        NonFiniteError: If a weight is no finite number; it is not saved.
    """

    every_step = False

    def __init__(
        self,
        writer: Writer | None,
        steps_per_epoch: int,
        *,
        remembering: Sequence[keras.callbacks.Callback] = (),
        files: Mapping[str, pathlib.Path] | None = None,
        every_steps: int | None = None,
        every_seconds: float | None = None,
        save_first: bool = False,
        resumed: ResumePoint | None = None,
        failed: Sequence[SaveFailedError] = (),
        saved: Callable[[], None] = lambda: None,
        in_parts: bool = False,
        is_chief: bool = True,
    ) -> None:
        super().__init__()
        self._writer = writer
        self._steps_per_epoch = steps_per_epoch
        self._remembering = list(remembering)
        records = [getattr(callback, "file", None) for callback in remembering]
        self._records = {r.path: r for r in records if isinstance(r, RecordFile)}
        self._files = dict(files or {})
        self._every_steps = every_steps
        self._every_seconds = every_seconds
        self._save_first = save_first and resumed is None
        self._resumed = resumed
        self._failed = failed
        self._on_saved = saved
        self._in_parts = in_parts
        self.reads_weights = not in_parts
        self._is_chief = is_chief and writer is not None
        begin = resumed or ResumePoint()
        self.history = {name: list(values) for name, values in begin.history.items()}
        self.rollbacks = begin.rollbacks
        self._rate = begin.rate
        # What was saved, to copy into again.
        self._spare: collections.deque[Mapping[str, state.Captured]] = (
            collections.deque(maxlen=1)
        )
        self.step = begin.done(steps_per_epoch)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._last_time = time.monotonic()
        self._in_epoch = False

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch
        self._in_epoch = True
        self.step = epoch * self._steps_per_epoch
        if self._resumed is not None:
            resumed, self._resumed = self._resumed, None
            self.step += resumed.step
            # Here, after Keras has reset the metrics, and callbacks themselves.
            state.restore(self.model, resumed.arrays, metrics=resumed.step > 0)
            if resumed.callbacks is not None:
                states.set_states(
                    self._remembering,
                    resumed.callbacks,
                    all_of_them=self._is_chief,
                )
            if resumed.lower != 1.0:
                rollback_rates.lower_variable(self.model, resumed.lower)
                # Killed from here on, the run remembers that it went back.
                self._save(epoch, resumed.step)
        elif self._save_first:
            self._save(epoch, 0)
        self._save_first = False
        self._saved_step = self.step

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        stop_votes.vote(interrupts.requested(), self._is_time())

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        done = min(batch + 1, self._steps_per_epoch)
        self.step = self._epoch * self._steps_per_epoch + done
        own = stop_votes.Vote(interrupts.requested(), self._is_time())
        vote = stop_votes.agreed(own)
        every = self._every_steps
        due = every is not None and self.step // every > self._saved_step // every
        if vote.stop or vote.save or due:
            self._save(self._epoch, done)
        if vote.stop:
            self._stop()

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        # Keras validates with the same metrics: those of training end here.
        self._trained_metrics = (
            state.capture(self.model, weights=False) if self._in_epoch else {}
        )

    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if not self._in_epoch:
            return
        # The next one would be told too late: what was voted before this batch.
        if stop_votes.agreed(stop_votes.Vote(interrupts.requested())).stop:
            done = self.step - self._epoch * self._steps_per_epoch
            self._save(self._epoch, done, self._trained_metrics)
            self._stop()

    def on_test_batch_begin(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        stop_votes.vote(interrupts.requested(), False)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(float(value))
        self._in_epoch = False
        self._save(epoch + 1, 0)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.wait()

    def _is_time(self) -> bool:
        return (
            self._is_chief
            and self._every_seconds is not None
            and time.monotonic() - self._last_time >= self._every_seconds
        )

    def _save(
        self, epoch: int, step: int, metrics: dict[str, np.ndarray] | None = None
    ) -> None:
        with run_clock.within(run_clock.SAVING):
            self._hand_over(epoch, step, metrics)

    def _hand_over(
        self, epoch: int, step: int, metrics: dict[str, np.ndarray] | None
    ) -> None:
        within = step > 0
        if self._in_parts:
            whole.end_reading()
        if self._writer is not None:
            self._writer.make_room()
        spare = self._spare.pop() if self._spare else None
        arrays = state.capture(
            self.model,
            metrics=within and metrics is None,
            into=spare,
            in_parts=self._in_parts,
        )
        arrays |= metrics or {}
        self._saved_step = self.step
        self._last_time = time.monotonic()
        bad = [n for n, a in arrays.items() if a.dtype.kind == "f" and not _finite(a)]
        if self._in_parts:  # One process may see what another does not.
            told = consensus.texts(self.model.distribute_strategy, " ".join(bad))
            bad = sorted({name for text in told for name in text.split()})
        if bad:
            raise NonFiniteError(
                f"The state became infinite or NaN by step {self.step}: "
                f"{', '.join(bad[:3])}. It is not saved. Lower the learning rate, or "
                "clip the gradients (--global-clipnorm 1)."
            )
        if self._writer is None:
            self._spare.append(arrays)
            return
        if not self._is_chief:
            self._writer.submit(self.step, arrays, {}, self._saved)
            return
        # As they are, ends of lines too, with what could not be written yet.
        texts = {name: self._text(path) for name, path in self._files.items()}
        self._writer.submit(
            self.step,
            arrays,
            {
                "epoch": epoch,
                "step": step,
                "short": epoch * self._steps_per_epoch + step - self.step,
                "steps_per_epoch": self._steps_per_epoch,
                "history": {k: list(v) for k, v in self.history.items()},
                "callbacks": states.get_states(self._remembering),
                "stop": bool(self.model.stop_training) and not within,
                "rollbacks": self.rollbacks,
                "rate": self._rate,
                "files": texts,
            },
            self._saved,
        )

    def _saved(self, arrays: Mapping[str, state.Captured]) -> None:
        self._spare.append(arrays)
        self._on_saved()

    def _text(self, path: pathlib.Path) -> str:
        if path in self._records:
            return self._records[path].content().decode()
        return path.read_bytes().decode() if path.exists() else ""

    def _stop(self) -> None:
        self.refuse_unsaved()
        raise StoppedError(self.step)

    def wait(self) -> None:
        """Returns when all that was saved is on the disk."""
        if self._writer is not None:
            with run_clock.within(run_clock.SAVING):
                self._writer.wait()

    def hurry(self) -> None:
        """What is being saved need not leave the processors to the training."""
        if self._writer is not None:
            self._writer.hurry()

    def refuse_unsaved(self) -> None:
        """Waits for the writer.

        Raises:
            SaveFailedError: If the state of the last step could not be saved.
        """
        self.wait()
        for error in self._failed:
            if error.step == self.step:
                raise error


def _finite(array: state.Captured) -> bool:
    if isinstance(array, ArrayParts):
        return all(_finite(piece.array) for piece in array.pieces)
    # A sum needs no memory; where it overflows, each number is looked at.
    with np.errstate(all="ignore"):
        return bool(np.isfinite(array.sum()) or np.isfinite(array).all())
