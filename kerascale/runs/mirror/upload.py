"""Copies a run folder into an object store, as it grows."""

import contextlib
import hashlib
import os
import pathlib

from kerascale.errors import RefusedError
from kerascale.runs import layout, timeline
from kerascale.runs.checkpoint import manifest
from kerascale.runs.checkpoint.names import Names
from kerascale.runs.mirror import generation
from kerascale.runs.mirror.generation import (
    GENERATIONS,
    OBJECTS,
    DamagedError,
    Generation,
)
from kerascale.runtime import durable_files
from kerascale.runtime.object_folder import ObjectFolder

_PIECE = 2**20


class ChangingError(Exception):
    """A file changed while it was copied: the next attempt may do."""


class Mirror:
    """A run folder and its copy. Any process may make it, beside the training.

    Args:
        run: The run folder, which need not be there yet.
        address: `s3://BUCKET/KEY` or `gs://BUCKET/KEY`, for this run alone.
        keep: How many of the newest lists stay.

    Raises:
        RefusedError: If the store does not answer.
    """

    def __init__(self, run: pathlib.Path, address: str, *, keep: int = 2) -> None:
        self._run = run
        self._folder = ObjectFolder(address)
        self._keep = keep
        # The files of the checkpoint that was found whole last.
        self._whole: dict[str, tuple[int, int]] = {}
        self._stamps: dict[str, tuple[int, int]] = {}
        self._sums: dict[tuple[str, int, int], str] = {}

    def is_finished(self) -> bool:
        """Whether the training is at its end."""
        return (self._run / layout.EVALUATION).exists()

    def copy(self) -> Generation | None:
        """Copies what has changed since the last call.

        Returns:
            What the run consists of now; None where it is as it was, or has no whole
            checkpoint yet.

        Raises:
            RefusedError: If another run is at the address, or this one went on
                elsewhere.
            ConnectionError: If the store does not answer: what it has stays as it is.
            ChangingError: If a file changed meanwhile. The next call may do.
        """
        stamps = _stamps(self._run)
        if stamps == self._stamps:
            return None
        step = self._newest(stamps)
        events = timeline.read(self._run)
        if step is None or not events or not events[0]["time"]:
            return None
        names = [name for name in stamps if _belongs(name, step)]
        run, starts = events[0]["time"], len(timeline.starts(events))
        number = self._next_number(run, starts)
        try:
            files = {name: self._put(name) for name in names}
        except FileNotFoundError as error:
            raise ChangingError(f"{error.filename} is gone") from error
        of_step = f"{layout.CHECKPOINTS}/"
        now = _stamps(self._run)
        for name in names:
            if name.startswith(of_step) and now.get(name) != stamps[name]:
                raise ChangingError(f"{name} was replaced")
        found = Generation(run, step, files)
        # Last: whoever sees it finds all that it names.
        name = generation.new_name(starts, number)
        self._folder.put(f"{GENERATIONS}/{name}", found.encode())
        self._stamps = stamps
        self._prune()
        return found

    def _newest(self, stamps: dict[str, tuple[int, int]]) -> int | None:
        """The step of the newest checkpoint that is whole; it is read once."""
        checkpoints = Names(self._run / layout.CHECKPOINTS)
        for step in reversed(checkpoints.steps()):
            path = checkpoints.path(step)
            where = f"{path.relative_to(self._run).as_posix()}/"
            own = {name: s for name, s in stamps.items() if name.startswith(where)}
            if not own:  # It came since, or has lost its name for a moment.
                continue
            if own == self._whole:
                return step
            with contextlib.suppress(durable_files.DamagedError):
                with manifest.verified(path, step):
                    self._whole = own
                return step
        return None

    def _next_number(self, run: str, starts: int) -> int:
        last, last_starts, last_number = None, 0, 0
        for name in reversed(self._lists()):
            try:
                last = generation.decode(self._folder.read(f"{GENERATIONS}/{name}"))
            except DamagedError:
                continue
            last_starts, last_number = generation.order_of(name)
            break
        if last is None:
            return 1
        if last.run != run:
            raise RefusedError(
                f"mirror: expected an address for this run alone. Received: "
                f"{self._folder.address}, with a run that began at {last.run}; this "
                f"one began at {run}. Name another address."
            )
        if last_starts > starts:
            raise RefusedError(
                f"mirror: expected the run that went furthest. Received: {self._run} "
                f"after {starts} starts; {self._folder.address} has it after "
                f"{last_starts}: it went on elsewhere. Stop this one."
            )
        return last_number + 1

    def _lists(self) -> list[str]:
        names = self._folder.names(GENERATIONS)
        return sorted(
            (name for name in names if generation.order_of(name)),
            key=generation.order_of,
        )

    def _put(self, name: str) -> tuple[int, str]:
        """Puts a file, if its content is not there; its size and sha256."""
        path = self._run / name
        stat = path.stat()
        key = (name, stat.st_size, stat.st_mtime_ns)
        sha256 = self._sums.get(key) or _sum(path, stat.st_size)
        where = f"{OBJECTS}/{sha256}"
        if not self._folder.has(where, stat.st_size) and not self._folder.put_file(
            where, path, stat.st_size, sha256
        ):
            raise ChangingError(f"{path} is being written")
        self._sums[key] = sha256
        return stat.st_size, sha256

    def _prune(self) -> None:
        """Removes old lists, and then what no list names any more."""
        lists = self._lists()
        for name in lists[: -self._keep]:
            self._folder.remove(f"{GENERATIONS}/{name}")
        named = set()
        for name in lists[-self._keep :]:
            try:
                kept = generation.decode(self._folder.read(f"{GENERATIONS}/{name}"))
            except DamagedError:
                continue
            named |= {sha256 for _, sha256 in kept.files.values()}
        for sha256 in self._folder.names(OBJECTS):
            if sha256 not in named:
                self._folder.remove(f"{OBJECTS}/{sha256}")


def _stamps(run: pathlib.Path) -> dict[str, tuple[int, int]]:
    """Path -> size and time of change of each file that belongs to a run."""
    found = {}
    for folder, folders, names in os.walk(run):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            path = pathlib.Path(folder, name)
            if name.startswith(".") or path.is_symlink():
                continue
            try:
                stat = path.stat()
            except OSError:  # It was removed since.
                continue
            where = path.relative_to(run).as_posix()
            found[where] = (stat.st_size, stat.st_mtime_ns)
    return found


def _belongs(name: str, step: int) -> bool:
    """Whether a file is no part of an older checkpoint."""
    parts = pathlib.PurePosixPath(name).parts
    if parts[0] != layout.CHECKPOINTS or len(parts) < 3:
        return True
    return parts[1].isdigit() and int(parts[1]) == step


def _sum(path: pathlib.Path, size: int) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while size and (piece := file.read(min(size, _PIECE))):
            digest.update(piece)
            size -= len(piece)
    return digest.hexdigest()
