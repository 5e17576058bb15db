"""A save of several processes: each writes its part, the first one commits all.

In its folder, which is hidden until all is there:

    first process                          others
    makes the folder, says its name   ->   write their part into it
    writes its own part and the rest
    hears of every part               <-   say what their files are
    writes the manifest, renames
    says that it is saved             ->   go on

Whoever fails says so in place of that, and then no process has saved anything.
"""

import contextlib
import dataclasses
import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from kerascale.errors import SaveFailedError
from kerascale.runs.checkpoint import parts
from kerascale.runs.checkpoint.manifest import Record
from kerascale.runs.checkpoint.names import Names
from kerascale.runtime.array_parts import ArrayParts


class Peers(Protocol):
    """The processes that save together, and how they tell one another something.

    Attributes:
        count: How many they are.
        index: Which of them this one is; 0 commits.
        saves: The numbers of saves, from 0; each process takes the next at each save.
    """

    count: int
    index: int
    saves: Iterator[int]

    def say(self, name: str, text: str) -> None:
        """Tells all others something under a name that was not used before."""

    def hear(self, name: str, *, may_never_come: bool = False) -> str:
        """What somebody says under a name; waits for it.

        Args:
            name: Which one.
            may_never_come: Whether it is given up when the program has ended here.

        Raises:
            RuntimeError: If it does not come.
        """

    def forget(self, name: str) -> None:
        """All has been heard that was said under names that begin so."""


class Chief:
    """The side of the first process, for one save after the other.

    Args:
        peers: All of them.
    """

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._number = -1
        self._has_begun = False

    @contextlib.contextmanager
    def saving(self) -> Iterator[None]:
        """One save. The others hear how it ends, whatever is raised within."""
        self._number, self._has_begun = next(self._peers.saves), False
        try:
            yield
        except BaseException as error:
            reason = getattr(error, "strerror", None) or error
            self._end(getattr(error, "errno", None), f"the first process: {reason}")
            raise
        self._end(None, "")

    def begin(self, folder: pathlib.Path) -> None:
        """Lets the others write into a folder that was made."""
        self._has_begun = True
        self._say("begin", {"folder": folder.name})

    def collect(self) -> dict[str, Record]:
        """Waits until all others have written.

        Returns:
            What their files are.

        Raises:
            OSError: If one has failed.
        """
        found: dict[str, Record] = {}
        for index in range(1, self._peers.count):
            said = json.loads(self._peers.hear(_name(self._number, f"part/{index}")))
            if "error" in said:
                raise OSError(said["errno"], f"process {index}: {said['error']}")
            found |= {name: Record(**each) for name, each in said["files"].items()}
        # Whoever has said something here has heard the end of the one before.
        if self._number > 0:
            self._peers.forget(_all_of(self._number - 1))
        return found

    def _end(self, number: int | None, error: str) -> None:
        said = {"error": error, "errno": number}
        if not self._has_begun:
            self._say("begin", said)
        self._say("end", said)

    def _say(self, name: str, what: dict[str, Any]) -> None:
        self._peers.say(_name(self._number, name), json.dumps(what))


@dataclasses.dataclass(frozen=True)
class PartStore:
    """The side of another process: what a `Writer` writes into there.

    Args:
        folder: The checkpoints', which all processes see.
        peers: All of them.
    """

    folder: pathlib.Path
    peers: Peers

    def save(
        self, step: int, arrays: Mapping[str, Any], metadata: Mapping[str, Any]
    ) -> None:
        """Writes this process' part; the checkpoint is there when this returns.

        Args:
            step: The step.
            arrays: By name; what is whole is written by the first process.
            metadata: It is the first process' too.

        Raises:
            SaveFailedError: If this or another process could not write. What was
                saved before is as it was.
        """
        del metadata
        number = next(self.peers.saves)
        begun = json.loads(self.peers.hear(_name(number, "begin"), may_never_come=True))
        if "folder" in begun:
            own = {n: a for n, a in arrays.items() if isinstance(a, ArrayParts)}
            said = self._written(self.folder / begun["folder"], step, own)
            place = _name(number, f"part/{self.peers.index}")
            self.peers.say(place, json.dumps(said))
        ended = json.loads(self.peers.hear(_name(number, "end")))
        if ended["error"]:
            if "folder" in begun:
                Names.discard(self.folder / begun["folder"])
            raise SaveFailedError(step, ended["errno"], ended["error"])

    def _written(
        self, folder: pathlib.Path, step: int, own: Mapping[str, ArrayParts]
    ) -> dict[str, Any]:
        try:
            # A network filesystem may not show it yet.
            folder.mkdir(exist_ok=True)
            records = parts.write(folder, self.peers.index, step, own)
        except OSError as error:
            place = f" ({error.filename})" if error.filename else ""
            text = f"{error.strerror or error} in {self.folder}{place}"
            return {"error": text, "errno": error.errno}
        except Exception as error:  # The first process would wait for ever.
            return {"error": f"{type(error).__name__}: {error}", "errno": None}
        return {"files": {name: vars(record) for name, record in records.items()}}


def _name(number: int, what: str) -> str:
    return f"{_all_of(number)}/{what}"


def _all_of(number: int) -> str:
    return f"kerascale/save/{number}"
