"""Checkpoints in a folder: each is whole, or it is not there."""

import contextlib
import dataclasses
import os
import pathlib
import threading
from collections.abc import Mapping
from typing import Any

from kerascale.errors import RefusedError, SaveFailedError
from kerascale.runs.checkpoint import contents, manifest
from kerascale.runs.checkpoint.contents import Checkpoint
from kerascale.runs.checkpoint.injected_faults import reach
from kerascale.runs.checkpoint.names import Names
from kerascale.runs.checkpoint.peers import Chief, Peers
from kerascale.runtime import durable_files
from kerascale.runtime.durable_files import DamagedError


@dataclasses.dataclass(frozen=True)
class Skipped:
    """A checkpoint that cannot be used.

    Args:
        step: The step that its folder's name says.
        path: The folder.
        reason: Why, in a few words: truncated, bytes changed, file missing, ...
    """

    step: int
    path: pathlib.Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class Store:
    """The checkpoints of one run, each in a folder named after its step.

    A checkpoint is written into a hidden folder beside the others, brought onto the
    disk file by file, read back and compared, and only then given its name. A process
    that is killed at any moment leaves the older checkpoints and, if the new one has
    its name, the new one too. Nothing here looks at the time of day.

    One process writes, and holds the run folder's lock while it does; any number may
    read. The methods can be called from several threads; `save` not from a signal
    handler.

    Args:
        folder: Where they are. It is made at the first save.
        keep: How many of the newest stay.
        keep_every: Steps that can be divided by it stay for good; None: none does.
        peers: The processes of which each writes its part; this is the first of them.
            None: this one writes all.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        *,
        keep: int = 3,
        keep_every: int | None = None,
        peers: Peers | None = None,
    ) -> None:
        _check_count("keep", keep)
        if keep_every is not None:
            _check_count("keep_every", keep_every)
        self.folder = pathlib.Path(folder)
        self.keep = keep
        self.keep_every = keep_every
        self._names = Names(self.folder)
        self._lock = threading.Lock()
        self._chief = None if peers is None else Chief(peers)

    def steps(self) -> list[int]:
        """The steps that have a folder, oldest first; nothing is verified."""
        return self._names.steps()

    def read(self, step: int, *, mapped: bool = False) -> Checkpoint:
        """The checkpoint of a step. It is compared with its manifest, then parsed.

        Args:
            step: Which one.
            mapped: Whether its arrays stay on the disk until they are asked for.

        Raises:
            RefusedError: If there is none, or it is damaged.
        """
        try:
            return contents.read(self._names.path(step), step, mapped=mapped)
        except DamagedError as error:
            known = ", ".join(map(str, self.steps())) or "none"
            raise RefusedError(
                f"checkpoint: expected one of step {step}. Received: "
                f"{self._names.path(step)}: {error}. There are steps: {known}."
            ) from error

    def newest(
        self, *, mapped: bool = False
    ) -> tuple[Checkpoint | None, list[Skipped]]:
        """The newest checkpoint that is whole, by step.

        Args:
            mapped: Whether its arrays stay on the disk until they are asked for.

        Returns:
            The checkpoint, and the newer ones that are not whole, newest first. With
            no checkpoint at all that is `(None, [])`. With `None` and a list that is
            not empty all are damaged: whoever starts anew then loses a run.
        """
        skipped = []
        steps = self.steps()
        while steps:
            step = steps.pop()
            path = self._names.path(step)
            try:
                return contents.read(path, step, mapped=mapped), skipped
            except DamagedError as error:
                if os.path.lexists(path):
                    skipped.append(Skipped(step, path, str(error)))
                else:
                    # The writer has removed it, or given it another name, since.
                    skipped, steps = [], self.steps()
        return None, skipped

    def check_writable(self) -> None:
        """Makes the folder, and writes and removes a file in it.

        It is for the time before the first step.

        Raises:
            RefusedError: If it cannot.
        """
        try:
            self._names.make_folder()
            probe = self._names.new_temporary(0)
            try:
                with durable_files.writing(probe) as file:
                    file.write(b"0")
            finally:
                self._names.discard(probe)
        except OSError as error:
            raise RefusedError(
                "checkpoints: expected a folder that can be written. Received: "
                f"{self.folder} ({error.strerror or error}). Name another run folder "
                "with --run-dir, or make room."
            ) from error

    def save(
        self, step: int, arrays: contents.Arrays, metadata: Mapping[str, Any]
    ) -> pathlib.Path:
        """Writes a checkpoint; it is on the disk when this returns.

        One of the same step stays if it is whole and holds the same, and is replaced
        otherwise. Then old ones are removed.

        Args:
            step: The step, which is its place in the order.
            arrays: Arrays by name, of any type but Python objects. Nothing may change
                them meanwhile. With `peers` some are the part of this process.
            metadata: What JSON can express (also NaN and infinity, as Python writes
                them): text, numbers, truth values, None, lists, dicts with text keys.

        Returns:
            The checkpoint's folder.

        Raises:
            RefusedError: If an argument cannot be written. Nothing was written then.
            SaveFailedError: If the operating system refuses, here or in another
                process. What was saved before is as it was.
        """
        with self._lock:
            try:
                with self._chief.saving() if self._chief else contextlib.nullcontext():
                    self._names.check_step(step)
                    in_parts = self._chief is not None
                    state = contents.prepare(arrays, metadata, in_parts=in_parts)
                    return self._save(step, arrays, state)
            except OSError as error:
                place = f" ({error.filename})" if error.filename else ""
                raise SaveFailedError(
                    step,
                    error.errno,
                    f"{error.strerror or error} in {self.folder}{place}",
                ) from error

    def remove_after(self, step: int) -> list[int]:
        """Removes the checkpoints that are newer than `step`.

        It is for a run that goes on from an older one on purpose: the next `newest`
        would find those of before otherwise.

        Returns:
            The removed steps.

        Raises:
            OSError: If one cannot be removed.
        """
        with self._lock:
            self._names.recover()
            newer = [other for other in self.steps() if other > step]
            # The newest first: killed in between, it leaves a gap nowhere.
            for other in reversed(newer):
                self._names.remove(other)
            return newer

    def _save(self, step: int, arrays: contents.Arrays, state: bytes) -> pathlib.Path:
        self._names.make_folder()
        self._names.recover()
        temporary = self._names.new_temporary(step)
        try:
            reach("save:start", step)
            records = contents.write(temporary, step, arrays, state, self._chief)
            self._publish(temporary, step, records)
        finally:
            # It is not there any more if all went well.
            self._names.discard(temporary)
        reach("save:before-prune", step)
        # The checkpoint is committed: what cannot be removed is tried the next time.
        with contextlib.suppress(OSError):
            self._prune(step)
        reach("save:end", step)
        return self._names.path(step)

    def _publish(
        self, temporary: pathlib.Path, step: int, records: dict[str, manifest.Record]
    ) -> None:
        reach("save:before-rename", step)
        if self._holds(step, records):
            return
        self._names.publish(
            temporary, step, lambda: reach("save:between-renames", step)
        )
        reach("save:after-rename", step)
        durable_files.sync_folder(self.folder)
        self._names.forget_replaced(step)

    def _holds(self, step: int, records: dict[str, manifest.Record]) -> bool:
        try:
            with manifest.verified(self._names.path(step), step) as (found, _):
                return found == records
        except DamagedError:
            return False

    def _prune(self, committed: int) -> None:
        """Removes old checkpoints. `committed` has just been verified, and stays.

        Those of later steps are left alone: they are damaged ones that the run comes
        by again, or those of a run that was taken back; `remove_after` is for them.
        """
        older = [step for step in self.steps() if step <= committed]
        for step in older[: -self.keep]:
            if self.keep_every is None or step % self.keep_every:
                self._names.remove(step, lambda: reach("save:during-prune", committed))


def _check_count(name: str, value: Any) -> None:
    if type(value) is not int or value < 1:
        raise RefusedError(
            f"{name}: expected an integer >= 1. Received: {value!r:.80}."
        )
