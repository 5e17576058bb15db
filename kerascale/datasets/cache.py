"""kerascale's own cache folder, and how to prepare something in it once."""

import contextlib
import errno
import hashlib
import json
import pathlib
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import filelock

from kerascale.errors import RefusedError
from kerascale.runtime.cache_dir import VARIABLE, cache_dir
from kerascale.runtime.console import say

_SILENT_WAIT_SECONDS = 3.0


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    """Lets one process at a time in, among all that share the cache folder.

    The operating system frees the lock when its process dies, so a kill leaves
    nothing to clean up.

    Args:
        name: What is locked. Two locks of the same name exclude each other.

    Raises:
        RefusedError: The cache folder cannot be written.
    """
    path = cache_dir() / f"{name.replace('/', '-').replace(':', '-')}.lock"
    file_lock = filelock.FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file_lock.acquire(timeout=_SILENT_WAIT_SECONDS)
        except filelock.Timeout:
            say(f"waiting for another process that holds {path}")
            file_lock.acquire()
    except (OSError, NotImplementedError) as error:
        raise not_writable(error) from error
    try:
        yield
    finally:
        file_lock.release()


def prepare_once(
    name: str, make: Callable[[pathlib.Path], None], *, again: bool = False
) -> pathlib.Path:
    """A folder in the cache, made by the first process that asks for it.

    It appears under its name when it is complete. What a killed process left is
    removed by the next one.

    Args:
        name: The folder's name. It has to change when the content would.
        make: Fills the empty folder that it is given.
        again: Make it even if it is there, because it turned out to be damaged.

    Returns:
        The folder's path.

    Raises:
        RefusedError: The cache folder cannot be written.
    """
    folder = cache_dir() / name
    if folder.is_dir() and not again:
        return folder
    partial = folder.with_name(f"{name}.partial")
    with lock(name):
        if folder.is_dir() and not again:
            return folder
        try:
            for leftover in (partial, folder):
                if leftover.exists():
                    shutil.rmtree(leftover)
            partial.mkdir()
            make(partial)
            partial.rename(folder)
        except OSError as error:
            raise not_writable(error) from error
    return folder


def name_of(what: str, key: Any) -> str:
    """The name of something in the cache, which changes with a key.

    Args:
        what: What it is.
        key: All that decides its content, in JSON.
    """
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return f"{what}-{digest[:32]}"


def not_writable(error: OSError | NotImplementedError) -> RefusedError:
    """The refusal for an error of the cache folder."""
    number = getattr(error, "errno", None)
    reason = errno.errorcode.get(number, type(error).__name__)
    detail = getattr(error, "strerror", None) or error
    return RefusedError(
        "A cache folder that can be written was expected, to prepare data in once. "
        f"Received: {cache_dir()} ({reason}: {detail}). Set {VARIABLE} "
        "to a folder on a local disk with room in it."
    )
