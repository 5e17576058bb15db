"""What agents tell each other, through a folder that all hosts share.

Each agent writes one file of its own, again and again; what all must agree on, who
trains together, is a file that exists once: who makes it first decides.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import re
from typing import Any

_NUMBER = re.compile(r"(\d{6})\.json")
# More than the names of some hundred hosts take.
_SIZE = 65_536


@dataclasses.dataclass(frozen=True)
class Record:
    """How an agent and its worker are.

    Args:
        name: Of the host, unique in the job.
        instance: Of the agent: another one when it was started again.
        host: Address at which the other hosts reach this one.
        agent_port: Where the agent answers the others.
        worker_port: Free; for the worker of the next generation.
        count: Grows with each record: a sign of life.
        reaches: Names of the agents that have answered lately.
        ended: The newest generation of which no worker runs here any more.
        code: How the worker of it ended; None: it was stopped, or there was none.
        reason: One of `heartbeat.REASONS`, if it failed.
        is_hopeless: Whether it said that it would fail again.
        step: Batches that the worker has trained.
        is_training: Whether its worker has come to training.
        is_leaving: Whether this host was asked to end.
        asked: The generation that was asked to stop, so that a host can be taken in.
        final: (generation, exit code) of the job, once it is over.
        generation: The newest that the agent knows: a file that is written in place is
            seen on other hosts sooner than a new one.
    """

    name: str
    instance: str
    host: str
    agent_port: int
    worker_port: int = 0
    count: int = 0
    reaches: tuple[str, ...] = ()
    ended: int = 0
    code: int | None = None
    reason: str = ""
    is_hopeless: bool = False
    step: int = 0
    is_training: bool = False
    is_leaving: bool = False
    asked: int = 0
    final: tuple[int, int] | None = None
    generation: "Generation | None" = None


@dataclasses.dataclass(frozen=True)
class Member:
    """One worker of a generation: on which host, by which agent, where it listens."""

    name: str
    instance: str
    address: str


@dataclasses.dataclass(frozen=True)
class Generation:
    """Workers that train together, in the order of their ranks.

    Args:
        number: From 1 on.
        members: Those workers.
        kind: Why it was made: `start`, `lost`, `failed`, `left` or `returned`.
        reason: One of `heartbeat.REASONS` for those that count as restarts, or "".
        step: How far the one before had come.
        why: The same in words.
    """

    number: int
    members: tuple[Member, ...]
    kind: str
    reason: str
    step: int
    why: str


class Meeting:
    """The folder.

    Args:
        folder: On a file system that all hosts share.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self._records = folder / "hosts"
        self._generations = folder / "generations"
        self.logs = folder / "logs"
        for each in (self._records, self._generations, self.logs):
            each.mkdir(parents=True, exist_ok=True)
        self._known: dict[int, Generation] = {}

    def write(self, record: Record) -> None:
        """Writes the agent's record over the one before, in place."""
        text = json.dumps(dataclasses.asdict(record)).encode().ljust(_SIZE)
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
        # Closed each time: then a network file system shows it to the others.
        descriptor = os.open(self._records / f"{record.name}.json", flags, 0o644)
        try:
            os.pwrite(descriptor, text, 0)
        finally:
            os.close(descriptor)

    def records(self) -> dict[str, Record]:
        """The last record of each host, by name."""
        found = {}
        for path in self._records.glob("*.json"):
            # One that is being written is read the next time.
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
                record = _record(json.loads(path.read_bytes()))
                found[record.name] = record
                if record.generation is not None:
                    known = record.generation
                    self._known.setdefault(known.number, known)
        return found

    def generations(self) -> list[Generation]:
        """All generations that are known, the newest last."""
        for path in self._generations.glob("*.json"):
            match = _NUMBER.fullmatch(path.name)
            if match and int(match[1]) not in self._known:
                with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
                    made = _generation(json.loads(path.read_text()))
                    self._known[made.number] = made
        return [self._known[number] for number in sorted(self._known)]

    def propose(self, generation: Generation, by: str) -> bool:
        """Makes a generation, if no other of its number is there.

        Args:
            generation: What is proposed.
            by: The instance of the agent.

        Returns:
            Whether it is this one.
        """
        path = self._generations / f"{generation.number:06d}.json"
        new = self._generations / f"{generation.number:06d}.{by}.new"
        new.write_text(json.dumps(dataclasses.asdict(generation)))
        try:
            os.link(new, path)  # Fails if it is there, on NFS too.
        except FileExistsError:
            return False
        finally:
            new.unlink(missing_ok=True)
        return True


def _record(document: dict[str, Any]) -> Record:
    final, generation = document["final"], document["generation"]
    return Record(
        **{
            **document,
            "reaches": tuple(document["reaches"]),
            "final": final and (final[0], final[1]),
            "generation": generation and _generation(generation),
        }
    )


def _generation(document: dict[str, Any]) -> Generation:
    members = tuple(Member(**member) for member in document["members"])
    return Generation(**{**document, "members": members})
