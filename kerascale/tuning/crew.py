"""Processes that train each trial together; most often it is one alone."""

import pathlib
import selectors
import time
from collections.abc import Mapping
from typing import Any

from kerascale.launch.environment import make_environments
from kerascale.launch.module_process import environment
from kerascale.tuning.worker_process import Worker

# After one has ended its job: for the others, who may wait for it for ever.
_LATE_SECONDS = 60.0


class Crew:
    """Workers that do the same job, and speak with one voice: that of the first.

    Each asks after an epoch whether the training goes on, and all get the answer that
    the first one got. The job has ended when it has for all of them.

    Args:
        lifeline: See `Worker`.
        log: See `Worker`.
        size: How many they are.

    Raises:
        RefusedError: If the host has fewer GPUs than workers, but some.
    """

    def __init__(self, lifeline: int, log: pathlib.Path, size: int) -> None:
        environments: list[dict[str, str]] = [environment()]
        if size > 1:
            environments = make_environments(
                environment(), workers=size, devices_per_worker=1
            )
            for each in environments:
                each["KERASCALE_PROGRESS"] = "off"
        self.members = [Worker(lifeline, log, each) for each in environments]
        self.job: Any = None
        """What it works on; None: it waits for work."""
        self.jobs_done = 0
        self.is_broken = False
        """Whether it can do no other job, as some of its workers wait for others."""
        self._forget()

    def _forget(self) -> None:
        self._answers: dict[int, Mapping[str, Any]] = {}
        self._asking: dict[int, int] = {}
        self._ended: dict[int, dict[str, Any]] = {}
        self._since = 0.0

    def give(self, job: Any, message: Mapping[str, Any]) -> None:
        """Gives it work.

        Args:
            job: What it is known by here.
            message: What is sent.
        """
        self.job = job
        self.jobs_done += 1
        self._forget()
        for member in self.members:
            member.send(message)

    def send(self, message: Mapping[str, Any]) -> None:
        """Answers what the first one has asked, for all of them."""
        step = self._asking.pop(0, None)
        if step is None:
            return
        self._answers[step] = message
        self.members[0].send(message)
        for rank, asked in list(self._asking.items()):
            self._answer(rank, asked)

    def _answer(self, rank: int, step: int) -> None:
        if step in self._answers:
            self._asking.pop(rank, None)
            self.members[rank].send(self._answers[step])

    def received(self) -> list[dict[str, Any]] | None:
        """What it has said, perhaps nothing; None: one of its processes has ended."""
        found: list[dict[str, Any]] = []
        for rank in self._ready():
            messages = self.members[rank].received()
            if messages is None:
                return None
            for message in messages:
                if message["is"] == "reached":
                    self._asking[rank] = message["step"]
                    if rank == 0:
                        found.append(message)
                    else:
                        self._answer(rank, message["step"])
                else:
                    self._ended.setdefault(rank, message)
                    self._since = self._since or time.monotonic()
        if len(self._ended) == len(self.members):
            found.append(self._ended[0])
            self._forget()
        elif self.is_late:
            self.is_broken = True
            found.append(next(iter(self._ended.values())))
            self._forget()
        return found

    def _ready(self) -> list[int]:
        if len(self.members) == 1:
            return [0]
        with selectors.DefaultSelector() as selector:
            for rank, member in enumerate(self.members):
                selector.register(member, selectors.EVENT_READ, rank)
            return sorted(key.data for key, _ in selector.select(0))

    @property
    def is_late(self) -> bool:
        """Whether one has ended its job long ago, and others have not."""
        return bool(self._since) and time.monotonic() - self._since > _LATE_SECONDS

    def stop(self) -> None:
        """Asks all to save their state and to end their job."""
        for member in self.members:
            member.stop()

    def end(self) -> str:
        """Kills what is left of them, and says how they ended."""
        return ", ".join(dict.fromkeys(member.end() for member in self.members))
