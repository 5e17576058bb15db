"""A served model: which versions answer, and who still uses them.

All of it happens on the event loop, so that nothing needs a lock.
"""

import dataclasses
import gc
import pathlib
from typing import Any

from kerascale.runtime.console import say
from kerascale.serving.server.loading import Servable
from kerascale.serving.server.status import StatusError, invalid

LOADING, AVAILABLE, UNLOADING, END = "LOADING", "AVAILABLE", "UNLOADING", "END"
_MOST_ENDED = 16


@dataclasses.dataclass
class Version:
    """A version that is, or was, served.

    `users` counts the requests that began on it and have not ended.
    """

    number: int
    folder: pathlib.Path
    state: str = LOADING
    code: str = "OK"
    message: str = ""
    servable: Servable | None = None
    users: int = 0
    identity: Any = None


class Model:
    """The versions of one model: none, until its folder is watched."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.versions: dict[int, Version] = {}
        self.labels: dict[str, int] = {}

    @property
    def available(self) -> list[int]:
        """Numbers of the versions that answer, ascending."""
        return sorted(n for n, v in self.versions.items() if v.state == AVAILABLE)

    def acquire(self, number: int | None, label: str | None) -> Version:
        """A version for one request, which is to be released afterwards.

        Args:
            number: Its number; None: the label decides.
            label: Its label; None, too: the latest.

        Raises:
            StatusError: If it is not available.
        """
        if label is not None:
            number = self.number_of(label)
        available = self.available
        found = number if number is not None else max(available, default=None)
        if found not in available:
            request = f"Specific({self.name}, {number})"
            raise StatusError(
                "NOT_FOUND",
                "Servable not found for request: "
                f"{f'Latest({self.name})' if number is None else request}",
            )
        version = self.versions[found]
        version.users += 1
        return version

    def release(self, version: Version) -> None:
        """Ends a request on a version."""
        version.users -= 1
        if version.state == UNLOADING and version.users == 0:
            self._unload(version)

    def number_of(self, label: str) -> int:
        """The version that a label names.

        Raises:
            StatusError: If it names none.
        """
        if label not in self.labels:
            raise invalid(f"Unrecognized servable version label: {label}")
        return self.labels[label]

    def retire(self, version: Version) -> None:
        version.state = UNLOADING
        if version.users == 0:
            self._unload(version)

    def _unload(self, version: Version) -> None:
        version.state = END
        version.servable = None
        # What TensorFlow loads refers to itself.
        gc.collect()
        say(f"kerascale serve: {self.name}: version {version.number} was unloaded.")

    def forget(self) -> None:
        ended = sorted(n for n, v in self.versions.items() if v.state == END)
        for number in ended[:-_MOST_ENDED]:
            del self.versions[number]
