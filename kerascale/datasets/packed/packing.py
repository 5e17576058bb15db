"""Packs a source of rows into a folder, in one pass, and goes on after a kill."""

import dataclasses
import os
import pathlib
import time
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from kerascale.datasets.packed import finishing, folders, layout, manifest
from kerascale.datasets.packed import progress as progresses
from kerascale.datasets.packed.manifest import Manifest
from kerascale.datasets.packed.progress import SYNC_SECONDS, Progress
from kerascale.datasets.packed.rows import RowSource
from kerascale.datasets.packed.writing import Writer
from kerascale.errors import PackFailedError, RefusedError, StoppedError
from kerascale.runtime import interrupts, remote_paths


class Watcher(Protocol):
    """Sees how packing goes."""

    def begin(self, source: RowSource, progress: Progress) -> None:
        """Before the first row."""

    def rows(self, progress: Progress, num_bytes: int) -> None:
        """After some rows, of so many bytes."""

    def finishing(self, what: str, share: float) -> None:
        """What is done after the last row."""


def pack(
    source: RowSource,
    folder: str | os.PathLike[str],
    *,
    options: dict[str, Any] | None = None,
    validation_fraction: float = 0.15,
    again: bool = False,
    watcher: Watcher | None = None,
) -> Manifest:
    """Packs all rows of a source, or those that are not packed yet.

    Memory does not grow with the data but for some bytes a row, which splitting takes.

    Args:
        source: The rows.
        folder: Where to; new, empty, or one that this source was packed into in part.
        options: What decides what the rows are, beside the source itself; in JSON.
        validation_fraction: Share of the training rows that is held back for
            validation, and again for the test, unless the source has them.
        again: Whether to remove first what was packed into the folder before.
        watcher: Who sees how it goes.

    Returns:
        What was packed. That of before, where the folder is finished already.

    Raises:
        RefusedError: If the folder cannot be written or holds something else, or if the
            source is not as expected or has changed.
        PackFailedError: If the disk is full, or something else came between. The same
            call goes on.
        StoppedError: On a signal. The same call goes on.
    """
    remote_paths.refuse("DEST", folder, remote_paths.WRITE_HERE)
    folder = pathlib.Path(folder)
    options = dict(options or {}, validation_fraction=validation_fraction)
    with folders.held(folder), folders.failures_named(folder):
        wanted = Progress(source.name, source.identity(), options, again=again)
        if again:
            _clear(folder, wanted)
        if (folder / layout.MANIFEST).exists():
            found = manifest.load(folder)
            folders.refuse_another(folder, found, wanted, is_finished=True)
            folders.remove_leftovers(folder)
            return found
        progress = progresses.load(folder)
        if progress is None:
            folders.refuse_content(folder)
            progress = wanted
            progress.save(folder)
        else:
            folders.refuse_another(folder, progress, wanted, is_finished=False)
        return _go_on(source, folder, progress, watcher)


def _clear(folder: pathlib.Path, wanted: Progress) -> None:
    """Removes what was packed before; not what this very call has packed so far."""
    if not (folder / layout.MANIFEST).exists():
        try:
            found = progresses.load(folder)
        except RefusedError:
            found = None
        if found is not None and found.again and folders.is_same(found, wanted):
            return
    folders.clear(folder)


def is_packed(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder is a packed data set that is finished."""
    return (pathlib.Path(folder) / layout.MANIFEST).exists()


def _go_on(
    source: RowSource,
    folder: pathlib.Path,
    progress: Progress,
    watcher: Watcher | None,
) -> Manifest:
    if watcher is not None:
        watcher.begin(source, progress)
    if progress.facts is None:
        _read(source, folder, progress, watcher)
        if source.identity() != progress.identity:
            raise PackFailedError(
                f"{source.name}: expected a source that stays as it is. Received: one "
                f"that changed while it was packed into {folder}. Begin anew: the same "
                "command with --again."
            )
        facts = dataclasses.asdict(source.facts())
        _refuse_number_of_classes(progress, facts["class_names"])
        if facts["order"] is not None:
            facts["order"] = np.asarray(facts["order"]).tolist()
        progress.facts = facts
        progress.save(folder)
    finishing.finish(source, folder, progress, watcher)
    folders.remove_leftovers(folder)
    return manifest.load(folder)


def _refuse_number_of_classes(progress: Progress, names: Sequence[str]) -> None:
    wanted = progress.options.get("num_classes")
    if wanted not in (None, len(names)):
        raise RefusedError(
            f"num_classes: expected {len(names)}, as {progress.source} has. Received: "
            f"{wanted}. Leave it out, and begin anew with --again."
        )


def _read(
    source: RowSource,
    folder: pathlib.Path,
    progress: Progress,
    watcher: Watcher | None,
) -> None:
    """Adds the rows that are not packed yet; none if all are."""
    writer = Writer(folder, source.encoding, progress)
    try:
        with interrupts.between_steps():
            _write_rows(source, writer, progress, watcher)
        writer.close()
    except BaseException:
        writer.abandon()
        raise
    if not progress.rows:
        raise RefusedError(
            f"{source.name}: expected rows. Received: none. Add some, or check the "
            "path."
        )


def _write_rows(
    source: RowSource, writer: Writer, progress: Progress, watcher: Watcher | None
) -> None:
    saved = time.monotonic()
    for rows in source.read(dict(progress.state)):
        writer.write(rows)
        if watcher is not None:
            watcher.rows(progress, _bytes_of(rows.features))
        if interrupts.requested():
            writer.sync()
            raise StoppedError(None)
        if time.monotonic() - saved >= SYNC_SECONDS:
            writer.sync()
            saved = time.monotonic()


def _bytes_of(features: Any) -> int:
    if features.dtype == object:
        return sum(map(len, features))
    return features.nbytes
