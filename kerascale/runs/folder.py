"""The folder of a run that is going on: made, held, written, and left clean."""

import contextlib
import hashlib
import json
import os
import pathlib
import platform
import subprocess
from collections.abc import Mapping
from typing import Any

import filelock

from kerascale._version import __version__
from kerascale.config.fields import to_dict
from kerascale.errors import RefusedError
from kerascale.runs import numbered
from kerascale.runs.files import read_json
from kerascale.runs.layout import CHECKPOINTS, CONFIG, GOODPUT, LOCK, TIMELINE
from kerascale.runtime import atomic_files, locks, remote_paths

_WAY_OUT = "Name another folder with --run-dir."
# Checkpoints are committed by a rename, which an object store does not have.
_NO_STORE = (
    "Name a folder on a file system; kerascale mirror copies it there while it is "
    "trained."
)


class RunFolder:
    """A new run folder, held by this process until it is closed.

    Left by a `RefusedError`, it leaves nothing behind: see `discard`.

    Args:
        path: The folder; it must be new or empty. None: `runs/RECIPE/N`, with the
            first free number.
        recipe_name: The recipe's name.
        existing: Whether it is the folder of a run that goes on, and nothing in it is
            ever discarded.

    Raises:
        RefusedError: If the folder holds something, is held by another process, or
            cannot be written.
    """

    def __init__(
        self,
        path: str | os.PathLike | None,
        recipe_name: str,
        *,
        existing: bool = False,
    ) -> None:
        remote_paths.refuse("run_dir", path, _NO_STORE)
        self._existing = existing
        # Folders that were not there before, outermost first.
        self._created: list[pathlib.Path] = []
        self._lock = None
        try:
            self.path = self._make_folder(path, recipe_name)
            self._lock = filelock.FileLock(self.path / LOCK)
            self._lock.acquire(timeout=0)
            if not existing:
                _refuse_content(self.path)
            (self.path / CHECKPOINTS).mkdir(exist_ok=existing)
        except filelock.Timeout as error:
            raise _held(self.path) from error
        except OSError as error:
            self._undo()
            raise _unwritable(error.filename or path, error.strerror) from error
        except RefusedError:
            self._undo()
            raise

    @staticmethod
    def check(path: str | os.PathLike | None, recipe_name: str = "") -> None:
        """Refuses what the constructor would refuse, and creates nothing.

        It is for the time before data is read; the constructor looks again.

        Args:
            path: See `RunFolder`.
            recipe_name: See `RunFolder`.

        Raises:
            RefusedError: See `RunFolder`.
        """
        remote_paths.refuse("run_dir", path, _NO_STORE)
        folder = _numbered_parent(recipe_name) if path is None else pathlib.Path(path)
        try:
            if path is not None and folder.is_dir():
                _refuse_held(folder)
                if not (folder / CONFIG).is_file():  # Else a run may go on in it.
                    _refuse_content(folder)
            there = folder
            while not os.path.lexists(there):
                there = there.parent
            if not there.is_dir():
                raise _unwritable(there, "not a folder")
        except OSError as error:
            raise _unwritable(error.filename or path, error.strerror) from error
        if not os.access(there, os.W_OK | os.X_OK):
            read_only = os.statvfs(there).f_flag & os.ST_RDONLY
            reason = "read-only file system" if read_only else "permission denied"
            raise _unwritable(there, reason)

    def close(self) -> None:
        """Lets other processes have the folder."""
        if self._lock is not None and self._lock.is_locked:
            # While it is held: after the release the file may be another's lock.
            (self.path / LOCK).unlink(missing_ok=True)
            self._lock.release()

    def discard(self) -> None:
        """Closes the folder, and removes it if nothing was trained in it.

        That is so if it holds no more than is written before the first step:
        `config.json`, `timeline.jsonl` and an empty `checkpoints`. Then these go, and
        so do the folder and its parents where they were created here and are empty. A
        folder with anything else in it stays as it is.
        """
        if self._existing:
            self.close()
            return
        ours = {LOCK, CONFIG, GOODPUT, TIMELINE, CHECKPOINTS}
        with contextlib.suppress(OSError):  # What cannot be removed stays.
            if {p.name for p in self.path.iterdir()} <= ours:
                (self.path / CHECKPOINTS).rmdir()
                (self.path / CONFIG).unlink(missing_ok=True)
                (self.path / TIMELINE).unlink(missing_ok=True)
                (self.path / GOODPUT).unlink(missing_ok=True)
        self._undo()

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is not None and issubclass(kind, RefusedError):
            self.discard()
        else:
            self.close()

    def write_json(self, name: str, content: dict[str, Any]) -> None:
        """Writes a file that is either whole or absent."""
        text = json.dumps(content, indent=2) + "\n"
        with atomic_files.replacing(self.path / name) as temporary:
            temporary.write_text(text, encoding="utf-8")

    def chosen_execution(self) -> dict[str, Any] | None:
        """The fields that say how the run which goes on executes its steps.

        Returns:
            None where the run is new, or was too short for a choice.
        """
        if not (self.path / CONFIG).is_file():
            return None
        fields = read_json(self.path, CONFIG).get("fields", {})
        names = ("execution", "steps_per_execution")
        chosen = {name: fields[name] for name in names if name in fields}
        if len(chosen) < len(names) or chosen["execution"] == "auto":
            return None
        return chosen

    def write_config(
        self,
        recipe: Any,
        config: Any,
        info: Any,
        hardware: dict[str, Any],
        *,
        origins: Mapping[str, str] | None = None,
        init_from: str | os.PathLike | None = None,
        init_partial: bool = False,
        check: str = "first_step",
        compute_dtype: str = "float32",
        depends_on: Mapping[str, str] | None = None,
    ) -> None:
        """Writes what the run is, before its first step.

        Args:
            recipe: The recipe.
            config: Its configuration.
            info: What is known of its data.
            hardware: The strategy's name, and how many replicas and workers it has.
            origins: Field -> where its value came from; None: it is not known.
            init_from: The file that the initial weights were read from; its sha256
                is written too. None: the weights are drawn.
            init_partial: Whether some variables could stay as they were drawn.
            check: Whether slices are shown to be the batch; see `kerascale.scale`.
            compute_dtype: In which the model computes.
            depends_on: Name -> sha256 of what the result depends on beside
                configuration and data.

        Raises:
            RefusedError: If `init_from` cannot be read.
        """
        self.write_json(
            CONFIG,
            {
                "recipe": recipe.source,
                "fields": to_dict(config),
                "origins": dict(origins or {}),
                **hardware,
                "check": check,
                "compute_dtype": compute_dtype,
                "init_from": None if init_from is None else os.fspath(init_from),
                "init_partial": init_partial,
                "init_sha256": None if init_from is None else _sha256(init_from),
                "depends_on": dict(depends_on or {}),
                "data": info.to_json(),
                "versions": _versions(),
                "git_revision": _git_revision(),
            },
        )

    def _make_folder(
        self, path: str | os.PathLike | None, recipe_name: str
    ) -> pathlib.Path:
        if path is not None:
            self._make_parents(pathlib.Path(path))
            return pathlib.Path(path)
        parent = _numbered_parent(recipe_name)
        self._make_parents(parent)
        folder = numbered.make_next(parent)
        self._created.append(folder)
        return folder

    def _make_parents(self, path: pathlib.Path) -> None:
        for folder in (*reversed(path.parents), path):
            try:
                folder.mkdir()
            except FileExistsError:
                if not folder.is_dir():
                    raise
            else:
                self._created.append(folder)

    def _undo(self) -> None:
        """Closes, and removes the folders that were created here and are empty."""
        self.close()
        with contextlib.suppress(OSError):  # One that is not empty, nor its parents.
            for folder in reversed(self._created):
                folder.rmdir()


def _numbered_parent(recipe_name: str) -> pathlib.Path:
    return pathlib.Path("runs") / recipe_name


def _refuse_held(folder: pathlib.Path) -> None:
    if not (folder / LOCK).exists():
        return
    try:
        with filelock.FileLock(folder / LOCK).acquire(timeout=0):
            pass
    except filelock.Timeout as error:
        raise _held(folder) from error


def _refuse_content(folder: pathlib.Path) -> None:
    found = sorted(p.name for p in folder.iterdir() if p.name != LOCK)
    if found:
        raise RefusedError(
            f"run_dir: expected a new or empty folder. Received: {folder}, which holds "
            f"{', '.join(found[:5])}. {_WAY_OUT}"
        )


def _held(folder: pathlib.Path) -> RefusedError:
    return RefusedError(
        f"run_dir: {folder} is held by another run that is going on"
        f"{locks.holder(folder / LOCK)}. {_WAY_OUT}"
    )


def _unwritable(path: Any, reason: str | None) -> RefusedError:
    return RefusedError(
        f"run_dir: expected a folder that can be written. Received: {path} "
        f"({reason}). {_WAY_OUT}"
    )


def _sha256(init_from: str | os.PathLike) -> str:
    path = pathlib.Path(init_from)
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise RefusedError(
            f"init_from: expected a file that can be read. Received: {path} "
            f"({error.strerror})."
        ) from error


def _versions() -> dict[str, str]:
    import keras
    import tensorflow as tf

    from kerascale.engine.compat import tensorflow_private

    return {
        "kerascale": __version__,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "python": platform.python_version(),
        # It decides the last bits, as a version does.
        "onednn": tensorflow_private.onednn(),
    }


def _git_revision() -> str | None:
    """The revision of the folder that the run was started in, if it has one."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
