"""The folder of a packed data set: who may write into it, and what it may hold."""

import contextlib
import errno
import json
import pathlib
import re
from collections.abc import Iterator

import filelock

from kerascale.datasets.packed import layout
from kerascale.datasets.packed.manifest import Manifest
from kerascale.datasets.packed.progress import Progress
from kerascale.errors import PackFailedError, RefusedError
from kerascale.runtime import locks

# All files that packing makes, with those that a kill leaves.
_OURS = re.compile(
    r"(packed\.json|progress\.json|pack\.lock|labels\.codes|\.(packed|progress)\.json\.tmp"
    r"|(features\.bin|labels\.bin|files\.txt|(train|validation|test)\.index"
    r"|features-\d{5,}\.array_record(\.part|\.piece)?)(\.crc32c)?"
    r"|labels\.codes\.crc32c)"
)
_LEFTOVERS = re.compile(
    r"progress\.json|labels\.codes(\.crc32c)?|.*\.(part|piece)|\..*\.json\.tmp"
)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)
_WAY_OUT = "Name another folder, or begin anew in this one: --again"


@contextlib.contextmanager
def held(folder: pathlib.Path) -> Iterator[None]:
    """A folder, made if it is missing, into which nobody else packs.

    Raises:
        RefusedError: If it cannot be written, or somebody does.
    """
    lock = filelock.FileLock(folder / layout.LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise RefusedError(
            f"pack: expected a folder that nobody packs into. Received: {folder}, held "
            f"by another{locks.holder(folder / layout.LOCK)}. Wait for it, or name "
            "another folder."
        ) from error
    except OSError as error:
        raise _not_writable(folder, error) from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            (folder / layout.LOCK).unlink(missing_ok=True)
        lock.release()


@contextlib.contextmanager
def failures_named(folder: pathlib.Path) -> Iterator[None]:
    """What the operating system refuses inside is told with the folder's name."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise PackFailedError(
                f"pack: expected room on the disk of {folder}. Received: "
                f"{errno.errorcode[error.errno]}: {error.strerror}. What was packed is "
                "kept: make room, and the same command goes on; or name a DEST on "
                "another disk."
            ) from error
        if error.errno in _NOT_WRITABLE and _is_inside(error.filename, folder):
            raise _not_writable(folder, error) from error
        raise


def refuse_another(
    folder: pathlib.Path,
    found: Manifest | Progress,
    wanted: Progress,
    *,
    is_finished: bool,
) -> None:
    """Refuses a folder of another source, of other options, or of what has changed.

    Args:
        folder: The folder.
        found: What was packed into it.
        wanted: What is to be packed.
        is_finished: Whether all of that was.

    Raises:
        RefusedError: Saying what differs.
    """
    state = "packed already" if is_finished else "packed in part"
    difference = _difference(found, wanted, state)
    if difference:
        raise RefusedError(
            f"pack: expected a folder for {wanted.source} as it is. Received: "
            f"{folder}, into which {difference}. {_WAY_OUT}."
        )


def is_same(found: Progress, wanted: Progress) -> bool:
    """Whether a packing is the one that is wanted, and can go on."""
    return not _difference(found, wanted, "")


def _difference(found: Manifest | Progress, wanted: Progress, state: str) -> str:
    """What was packed instead; empty if that is wanted."""
    options = _as_json(wanted.options)
    different = [
        f"{name}={found.options.get(name)!r}"
        for name in sorted({*options, *found.options})
        if found.options.get(name) != options.get(name)
    ]
    same = found.identity == _as_json(wanted.identity)
    # The same under another name, as from another working folder, is the same.
    if found.source != wanted.source and not same:
        return f"{found.source} was {state}"
    if different:
        return f"it was {state} with {', '.join(different)}"
    if not same:
        return f"it was {state}; {wanted.source} has changed since then"
    return ""


def refuse_content(folder: pathlib.Path) -> None:
    """Refuses a folder in which there is something already.

    Raises:
        RefusedError: Naming it.
    """
    names = (path.name for path in folder.iterdir() if path.name != layout.LOCK)
    found = sorted(name for name in names if not _LEFTOVERS.fullmatch(name))
    if found:
        raise RefusedError(
            f"pack: expected a new or empty folder. Received: {folder}, which holds "
            f"{', '.join(found[:5])}. Name another folder."
        )


def clear(folder: pathlib.Path) -> None:
    """Removes what was packed into a folder, and nothing else."""
    # First, so that nobody takes what is left for something whole.
    for name in (layout.MANIFEST, layout.PROGRESS):
        (folder / name).unlink(missing_ok=True)
    _remove(folder, _OURS)


def remove_leftovers(folder: pathlib.Path) -> None:
    """Removes what only packing itself needs."""
    with contextlib.suppress(OSError):
        _remove(folder, _LEFTOVERS)


def _remove(folder: pathlib.Path, names: re.Pattern) -> None:
    for path in folder.iterdir():
        if names.fullmatch(path.name) and path.name != layout.LOCK:
            path.unlink()


def _as_json(values: dict) -> dict:
    """As they are when they are read back: a tuple is a list."""
    return json.loads(json.dumps(values))


def _is_inside(name: str | None, folder: pathlib.Path) -> bool:
    return name is None or folder.absolute() in pathlib.Path(name).absolute().parents


def _not_writable(folder: pathlib.Path, error: OSError) -> RefusedError:
    reason = errno.errorcode.get(error.errno, "error")
    return RefusedError(
        f"pack: expected a folder that can be written. Received: {folder} ({reason}: "
        f"{error.strerror}). Name another DEST, or make it writable."
    )
