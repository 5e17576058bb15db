"""Watches a model's folder: versions come, take over and go as their folders do."""

import asyncio
import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from kerascale.errors import RefusedError
from kerascale.runtime.console import say
from kerascale.serving.server.loading import Servable
from kerascale.serving.server.model import AVAILABLE, END, Model, Version
from kerascale.serving.server.policy import Policy, read_policy
from kerascale.serving.server.status import StatusError


@dataclasses.dataclass(frozen=True)
class _Found:
    """A version's folder: `identity` tells another export, `fingerprint` any change
    (it is taken only where a version has failed)."""

    folder: pathlib.Path
    identity: Any
    fingerprint: Any


class Watcher:
    """Keeps a model's versions as its folder has them.

    Args:
        model: The model.
        base: The folder of its versions.
        config_folders: Where its `models.config` may be.
        load: Loads a folder, and tries what it has loaded; called in a thread.
    """

    def __init__(
        self,
        model: Model,
        base: pathlib.Path,
        config_folders: Sequence[pathlib.Path],
        load: Callable[[pathlib.Path], tuple[Servable, list[str]]],
    ) -> None:
        self.model = model
        self._base = base
        self._config_folders = config_folders
        self._load = load
        self._policy = Policy()
        # Number -> fingerprint of what could not be loaded.
        self._failed: dict[int, Any] = {}
        self._said: str | None = None

    async def refresh(self) -> None:
        """Looks at the folder, and loads and unloads what it takes."""
        # Each once: what is being copied differs each time that one looks.
        tried: set[int] = set()
        while True:
            found = await asyncio.to_thread(self._look)
            if found is None:
                return
            wanted, missing = self._decide(found, tried)
            if not missing:
                break
            # The latest first: it is the one that is waited for.
            number = max(missing)
            tried.add(number)
            await self._start(number, found[number].folder)
        self.model.labels = {
            label: self._target(label, number)
            for label, number in self._policy.labels.items()
            if self._target(label, number) in wanted
        }
        for number in set(self.model.available) - wanted:
            self.model.retire(self.model.versions[number])
        self.model.forget()

    def _decide(
        self, found: dict[int, _Found], tried: set[int]
    ) -> tuple[set[int], set[int]]:
        """The versions that are to be there, and those of them that are not yet."""
        available = self.model.available
        loadable = {
            number
            for number, each in found.items()
            if number in available
            or (number not in tried and not self._has_failed(number, each))
        }
        wanted = self._policy.wanted(loadable)
        # A label that is to move stays until its new version can answer.
        targets = (self._target(*item) for item in self._policy.labels.items())
        wanted |= loadable.intersection(targets)
        missing = {n for n in wanted if not self._is_current(n, found[n])}
        return wanted, missing - tried

    def _target(self, label: str, number: int) -> int:
        if number in self.model.available:
            return number
        return self.model.labels.get(label, number)

    def _is_current(self, number: int, found: _Found) -> bool:
        if number not in self.model.available:
            return False
        loaded = self.model.versions[number].identity
        is_same = found.identity is None or found.identity == loaded
        return is_same or self._has_failed(number, found)

    def _has_failed(self, number: int, found: _Found) -> bool:
        """Whether it failed as it is now; what has changed since is tried again."""
        return number in self._failed and self._failed[number] == found.fingerprint

    def _look(self) -> dict[int, _Found] | None:
        """What the folder has; None if it cannot be read now."""
        try:
            self._policy = read_policy(self._config_folders, self.model.name)
            problem = None
        except RefusedError as error:
            problem = str(error)  # What was read before stays in force.
        try:
            return {
                number: _Found(
                    folder,
                    _identity(folder),
                    _fingerprint(folder) if number in self._failed else None,
                )
                for number, folder in version_folders(self._base).items()
            }
        except OSError as error:
            problem = f"{error.filename}: cannot be read ({error.strerror})."
            return None
        finally:
            if problem is not None and problem != self._said:
                say(f"kerascale serve: {self.model.name}: {problem}")
            self._said = problem

    async def _start(self, number: int, folder: pathlib.Path) -> None:
        """Loads a version beside what is there; it takes over when it has answered."""
        version = Version(number, folder, identity=_identity(folder))
        fingerprint = await asyncio.to_thread(_fingerprint, folder)
        before = self.model.versions.get(number)
        if before is None or before.state != AVAILABLE:
            self.model.versions[number] = version
        try:
            version.servable, notes = await asyncio.to_thread(self._load, folder)
        except StatusError as error:
            self._failed[number] = fingerprint
            self._fail(version, error.code, error.message)
            return
        except Exception as error:
            self._failed[number] = fingerprint
            self._fail(version, "UNKNOWN", f"{type(error).__name__}: {error}")
            return
        self._failed.pop(number, None)
        version.state = AVAILABLE
        self.model.versions[number] = version
        if before is not None and before.state == AVAILABLE:
            self.model.retire(before)
        say(f"kerascale serve: {self.model.name}: version {number} is available.")
        for note in notes:
            say(f"kerascale serve: {self.model.name}: version {number}: {note}")

    def _fail(self, version: Version, code: str, message: str) -> None:
        version.state, version.code, version.message = END, code, message
        say(
            f"kerascale serve: {self.model.name}: version {version.number} was not "
            f"loaded: {message}"
        )


def version_folders(base: pathlib.Path) -> dict[int, pathlib.Path]:
    """Number -> folder, of the folders whose names are whole numbers.

    Raises:
        OSError: If the base folder cannot be read.
    """
    found = {}
    for path in sorted(base.iterdir()):
        if path.name.isascii() and path.name.isdecimal() and path.is_dir():
            number = int(path.name)
            if number < 2**63:
                found[number] = path
    return found


def _identity(folder: pathlib.Path) -> Any:
    """Differs for another SavedModel under the same number; None: it is not there."""
    for name in ("saved_model.pb", "saved_model.pbtxt"):
        try:
            facts = (folder / name).stat()
        except OSError:
            continue
        return facts.st_ino, facts.st_size, facts.st_mtime_ns
    return None


def _fingerprint(folder: pathlib.Path) -> list[tuple[str, int, int]]:
    """Changes when a file of the folder does."""
    found = []
    for path in sorted(folder.rglob("*")):
        try:
            facts = path.stat()
        except OSError:  # Just gone.
            continue
        found.append((str(path), facts.st_size, facts.st_mtime_ns))
    return found
