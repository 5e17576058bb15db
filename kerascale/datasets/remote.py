"""Data at the address of an object store: copied into the cache folder, read there.

A copy is whole or not there; what a kill has left of it is gone on with. It belongs to
the names, sizes and times of change of its objects: where one of them changes, another
copy is made.
"""

import concurrent.futures
import dataclasses
import hashlib
import json
import pathlib
import shutil
import threading
import time

from kerascale.config import TrainingConfig
from kerascale.datasets import cache
from kerascale.errors import RefusedError
from kerascale.runtime import atomic_files, object_stores, remote_paths
from kerascale.runtime.cache_dir import VARIABLE, cache_dir
from kerascale.runtime.console import counted, duration, is_live, live, say, show
from kerascale.runtime.live_view import LiveView

_AT_ONCE = 16
_VIEW_SECONDS, _LINE_SECONDS = 0.5, 10.0
# What a disk should have left.
_ROOM = 1.02
_MB = 1e6
# Beside the copies: which one is the last.
_LAST = "last"
# Data sets whose files may lie in folders within the folder.
_NESTED = ("images",)


def local_config(config: TrainingConfig) -> TrainingConfig:
    """A configuration whose data is on this host; the same one if it is already.

    Raises:
        RefusedError: As `local_path`.
        ConnectionError: As `local_path`.
    """
    dataset, test_data = local_name(config.dataset), local_file(config.test_data)
    if (dataset, test_data) == (config.dataset, config.test_data):
        return config
    return dataclasses.replace(config, dataset=dataset, test_data=test_data)


def local_name(name: str) -> str:
    """A data set on this host: `csv:PATH` for `csv:s3://BUCKET/KEY`.

    Args:
        name: As `--dataset` takes it.

    Returns:
        The name itself where there is no address behind its prefix.

    Raises:
        RefusedError: As `local_path`.
        ConnectionError: As `local_path`.
    """
    prefix, _, address = name.partition(":")
    if prefix == "tfds" or not remote_paths.is_remote(address):
        return name
    return f"{prefix}:{local_path(address, nested=prefix in _NESTED)}"


def local_file(path: str | None, *, nested: bool = False) -> str | None:
    """A file or folder on this host, also one without a prefix; None stays None."""
    if path is None or not remote_paths.is_remote(path):
        return path and local_name(path)
    return local_path(path, nested=nested)


def local_path(address: str, *, nested: bool) -> str:
    """The path of a copy of what is at an address, which is made if need be.

    Args:
        address: Of an object, of a folder of them, or a pattern.
        nested: Whether folders in the folder belong to it.

    Raises:
        RefusedError: If there is nothing at the address, the store does not answer, or
            the disk has no room.
        ConnectionError: If the store does not answer any more. The same call goes on.
    """
    if not object_stores.is_address(address):
        raise RefusedError(
            "dataset: expected data on this host, or at s3:// or gs://. Received: "
            f"{address}, which is not read. Copy it here first, or mount it."
        )
    store = object_stores.Store(address)
    objects = store.objects(nested=nested)
    parent = cache_dir() / cache.name_of("remote", [address, nested])
    key = [[one.name, one.size, one.changed] for one in objects]
    folder = parent / hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
    if not _is_whole(folder, objects):
        # Workers of one host wait for the one that copies.
        with cache.lock(parent.name):
            if not _is_whole(folder, objects):
                try:
                    _copy(store, objects, parent, folder)
                except ConnectionError:
                    raise
                except OSError as error:
                    raise cache.not_writable(error) from error
    say(f"data: {address} is in {folder}")
    return str(folder / object_stores.local_part(address, objects))


def _copy(
    store: object_stores.Store,
    objects: list[object_stores.Object],
    parent: pathlib.Path,
    folder: pathlib.Path,
) -> None:
    partial = folder.with_name(f"{folder.name}.partial")
    if folder.exists():  # Some of its files are gone.
        folder.rename(partial)
    partial.mkdir(parents=True, exist_ok=True)
    last = parent / _LAST
    old = parent / last.read_text() if last.exists() else folder
    if old != folder and old.is_dir():
        say(
            f"data: {store.address} has changed since it was copied here: copied again"
            f". The copy of before can be removed: {old}"
        )
    missing = [one for one in objects if not _is_there(partial, one)]
    total = sum(one.size for one in missing)
    free = shutil.disk_usage(partial).free
    if free < total * _ROOM:
        raise RefusedError(
            f"data: expected {total * _ROOM / _MB:,.0f} MB of room in {parent}, for a "
            f"copy of {store.address}. Received: {free / _MB:,.0f} MB. Make room, or "
            f"set {VARIABLE} to a folder on a larger disk."
        )
    kept = len(objects) - len(missing)
    say(
        f"data: copying {counted(len(missing), 'object')}, {total / _MB:,.1f} MB, of "
        f"{store.address} into {folder}, once"
        + (f"; {kept:,} are there already" if kept else "")
    )
    began = time.monotonic()
    with live():
        _fetch_all(store, missing, partial, total)
    seconds = time.monotonic() - began
    say(f"data: copied in {duration(seconds)}, {total / _MB / seconds:,.1f} MB/s")
    partial.rename(folder)
    with atomic_files.replacing(last) as temporary:
        temporary.write_text(folder.name)


def _is_whole(folder: pathlib.Path, objects: list[object_stores.Object]) -> bool:
    return folder.is_dir() and all(_is_there(folder, one) for one in objects)


def _is_there(folder: pathlib.Path, one: object_stores.Object) -> bool:
    try:
        found = (folder / one.name).stat()
    except OSError:
        return False
    return (found.st_size, found.st_mtime_ns) == (one.size, one.changed)


def _fetch_all(
    store: object_stores.Store,
    objects: list[object_stores.Object],
    folder: pathlib.Path,
    total: int,
) -> None:
    """Copies objects, several at a time, and tells how far it is."""
    lock, came, is_over = threading.Lock(), [0], threading.Event()

    def seen(size: int) -> None:
        if is_over.is_set():
            raise _OverError
        with lock:
            came[0] += size

    def fetch(one: object_stores.Object) -> None:
        if is_over.is_set():
            raise _OverError
        path = folder / one.name
        path.parent.mkdir(parents=True, exist_ok=True)
        store.fetch(one, path, seen)

    began = last = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
        try:
            waiting = {pool.submit(fetch, one) for one in objects}
            while waiting:
                done, waiting = concurrent.futures.wait(
                    waiting, _VIEW_SECONDS, concurrent.futures.FIRST_EXCEPTION
                )
                for future in done:
                    future.result()
                now = time.monotonic()
                if now - last >= (_VIEW_SECONDS if is_live() else _LINE_SECONDS):
                    last = now
                    _tell(came[0], total, now - began)
        except BaseException:
            # A signal too: what is being copied ends at its next piece.
            is_over.set()
            raise


class _OverError(Exception):
    """Another object failed."""


def _tell(came: int, total: int, seconds: float) -> None:
    share = came / max(1, total)
    pace = f"{came / _MB / seconds:,.1f} MB/s"
    left = f"{duration(seconds * (1 - share) / share)} left" if share > 0 else ""
    done = f"{came / _MB:,.1f} of {total / _MB:,.1f} MB"
    if is_live():
        show(LiveView(("copying data", done), share, left, (pace,)))
    else:
        say(f"copying data: {done}, {pace}, {left}")
