"""The versions in a folder that a server watches, and the labels that they have.

A new version is the `canary`. One that has proved itself is promoted to `stable`, and
the one before it is kept as `previous`, to which a rollback goes.
"""

import contextlib
import dataclasses
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import filelock

from kerascale.errors import RefusedError
from kerascale.runtime.durable_files import sync_folder
from kerascale.serving import formats, record, server_files
from kerascale.serving.server_files import ModelFile

STABLE = "stable"
CANARY = "canary"
PREVIOUS = "previous"
_LOCK = ".lock"
_REMOVING = "removing-"


@dataclasses.dataclass(frozen=True)
class Version:
    """One version of a model.

    Args:
        number: Its number, which is its folder's name.
        path: Its folder.
        labels: The labels that it has.
        size: Bytes of all its files.
        record: What `assets.extra/kerascale.json` says; or empty.
    """

    number: int
    path: pathlib.Path
    labels: tuple[str, ...]
    size: int
    record: dict[str, Any]


def numbers(base: pathlib.Path) -> list[int]:
    """The numbers that are taken, ascending."""
    return sorted(int(p.name) for p in base.iterdir() if p.name.isdecimal())


def find(base: str | os.PathLike) -> list[Version]:
    """The versions in a folder, ascending.

    Raises:
        RefusedError: If there is none, or `models.config` cannot be read.
    """
    base = pathlib.Path(base)
    exported = _exported(base)
    if not exported:
        raise RefusedError(
            "DEST: expected a folder with numbered versions, as kerascale export "
            f"writes. Received: {base}."
        )
    labels = _model_file(base).labels
    return [
        Version(
            number,
            base / str(number),
            tuple(sorted(label for label in labels if labels[label] == number)),
            sum(
                f.stat().st_size for f in (base / str(number)).rglob("*") if f.is_file()
            ),
            record.read(base / str(number)),
        )
        for number in exported
    ]


def _exported(base: pathlib.Path) -> list[int]:
    if not base.is_dir():
        return []
    return [n for n in numbers(base) if formats.of_version(base / str(n)) is not None]


def _model_file(base: pathlib.Path) -> ModelFile:
    return server_files.read(base) or server_files.default(base)


def served(base: pathlib.Path) -> pathlib.Path | None:
    """The version that answers whoever asks for none: the highest that is served."""
    exported = _exported(base)
    model_file = server_files.read(base)
    if model_file is not None and model_file.policy is None:
        labelled = [n for n in exported if n in model_file.labels.values()]
        exported = labelled or exported
    return base / str(exported[-1]) if exported else None


@contextlib.contextmanager
def _held(base: pathlib.Path) -> Iterator[None]:
    """Holds the folder against others who number, label or remove versions."""
    with filelock.FileLock(base / _LOCK):
        yield


def commit(
    temporary: pathlib.Path,
    base: pathlib.Path,
    check: Callable[[pathlib.Path | None], None],
) -> pathlib.Path:
    """Gives a version its number in one step, and the label `canary`.

    Args:
        temporary: The version, on the same filesystem.
        base: The folder of the versions.
        check: Called with the version that is served now, or None, before anything
            is visible; raises what stands against it.

    Returns:
        The version's folder.
    """
    with _held(base):
        before = served(base)
        check(before)
        _sync(temporary)
        model_file = _model_file(base)
        number = max(numbers(base), default=0) + 1
        version = base / str(number)
        if server_files.read(base) is None:
            platform = formats.PLATFORMS[formats.of_version(temporary)]
            model_file = dataclasses.replace(model_file, platform=platform)
        temporary.rename(version)
        sync_folder(base)
        labels = dict(model_file.labels)
        if before is None:
            labels[STABLE] = number
        else:
            labels.setdefault(STABLE, int(before.name))
            labels[CANARY] = number
        server_files.write(base, dataclasses.replace(model_file, labels=labels))
    return version


def _sync(folder: pathlib.Path) -> None:
    """Brings a version onto the disk, so that its name never stands for less."""
    for path, _, files in os.walk(folder):
        for name in files:
            with open(os.path.join(path, name), "rb") as file:
                os.fsync(file.fileno())
        sync_folder(pathlib.Path(path))


def promote(base: str | os.PathLike, number: int) -> dict[str, int]:
    """Makes a version the stable one, and the stable one the previous one.

    Returns:
        Label -> version.

    Raises:
        RefusedError: If there is no such version.
    """
    base = pathlib.Path(base)
    known = [version.number for version in find(base)]
    if number not in known:
        raise RefusedError(
            f"--promote: expected one of the versions {', '.join(map(str, known))}. "
            f"Received: {number}."
        )

    def change(labels: dict[str, int]) -> dict[str, int]:
        stable = labels.get(STABLE)
        labels[STABLE] = number
        if stable is not None and stable != number:
            labels[PREVIOUS] = stable
        return _without(labels, CANARY, number)

    return _relabel(base, change)


def rollback(base: str | os.PathLike) -> dict[str, int]:
    """Makes the previous version the stable one again; nothing newer is served.

    Returns:
        Label -> version.

    Raises:
        RefusedError: If no version is the previous one.
    """
    base = pathlib.Path(base)
    find(base)

    def change(labels: dict[str, int]) -> dict[str, int]:
        if PREVIOUS not in labels:
            raise RefusedError(
                f"--rollback: expected a version with the label {PREVIOUS}, which "
                f"--promote gives. Received: the labels {labels or 'of none'}. Promote "
                "the version to go back to by its number."
            )
        labels[STABLE] = labels.pop(PREVIOUS)
        labels.pop(CANARY, None)
        return labels

    return _relabel(base, change)


def _without(labels: dict[str, int], label: str, number: int) -> dict[str, int]:
    if labels.get(label) == number:
        del labels[label]
    return labels


def _relabel(
    base: pathlib.Path, change: Callable[[dict[str, int]], dict[str, int]]
) -> dict[str, int]:
    with _held(base):
        model_file = _model_file(base)
        labels = change(dict(model_file.labels))
        server_files.write(base, dataclasses.replace(model_file, labels=labels))
    return labels


def prune(base: str | os.PathLike, keep: int) -> list[int]:
    """Removes old versions: all but the newest, and never one with a label.

    Args:
        base: The folder of the versions.
        keep: How many of the newest are kept.

    Returns:
        The versions that were removed.
    """
    base = pathlib.Path(base)
    if keep < 1:
        raise RefusedError(f"--prune: expected at least 1. Received: {keep}.")
    find(base)
    with _held(base):
        found = find(base)
        removed = [version for version in found[:-keep] if not version.labels]
        for version in removed:
            # Away from the server in one step, then bit by bit.
            aside = base / f"{_REMOVING}{version.number}"
            version.path.rename(aside)
            shutil.rmtree(aside)
    return [version.number for version in removed]
