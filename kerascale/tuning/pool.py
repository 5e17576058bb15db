"""Processes that train one trial after the other, with TensorFlow imported once."""

import contextlib
import json
import os
import pathlib
import selectors
from collections.abc import Mapping, Sequence
from typing import Any

from kerascale.launch.module_process import ModuleProcess

_MODULE = "kerascale.tuning.worker"
# For a worker that was asked to stop to save its state.
_STOP_SECONDS = 120.0
# What a process keeps of each training, however little, must not add up.
_MOST_JOBS = 100


class Worker(ModuleProcess):
    """A process that takes jobs, one at a time.

    Args:
        lifeline: See `ModuleProcess`.
        log: The file that its messages go to until a job names another.
    """

    def __init__(self, lifeline: int, log: pathlib.Path) -> None:
        super().__init__(_MODULE, lifeline, log)
        self.job: Any = None
        """What it works on; None: it waits for work."""
        self.jobs_done = 0
        self._received = b""

    def give(self, job: Any, message: Mapping[str, Any]) -> None:
        """Gives it work.

        Args:
            job: What it is known by here.
            message: What is sent.
        """
        self.job = job
        self.jobs_done += 1
        self.send(message)

    def fileno(self) -> int:
        return self.stdout.fileno()

    def send(self, message: Mapping[str, Any]) -> None:
        """Sends a job, or an answer. To one that has ended nothing is sent."""
        with contextlib.suppress(BrokenPipeError):
            self.stdin.write(json.dumps(message).encode() + b"\n")
            self.stdin.flush()

    def received(self) -> list[dict[str, Any]] | None:
        """What it has said, once there is something; None: it has ended."""
        data = os.read(self.fileno(), 2**16)
        if not data:
            return None
        *lines, self._received = (self._received + data).split(b"\n")
        return [json.loads(line) for line in lines]


class Pool:
    """Workers, and what they say.

    Args:
        log: The file that messages of no job go to.
    """

    def __init__(self, log: pathlib.Path) -> None:
        self._log = log
        self._lifeline, self._own_end = os.pipe()
        self._selector = selectors.DefaultSelector()
        self.workers: list[Worker] = []

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *error: object) -> None:
        for worker in list(self.workers):
            self.remove(worker)
        self._selector.close()
        os.close(self._own_end)
        os.close(self._lifeline)

    def add(self) -> Worker:
        """A new worker."""
        worker = Worker(self._lifeline, self._log)
        self.workers.append(worker)
        self._selector.register(worker, selectors.EVENT_READ)
        return worker

    def remove(self, worker: Worker) -> str:
        """Ends a worker, and says how it ended."""
        self._selector.unregister(worker)
        self.workers.remove(worker)
        return worker.end()

    def free(self) -> Worker:
        """One that waits for work: one that is there, or a new one."""
        for worker in self.idle:
            if worker.jobs_done < _MOST_JOBS:
                return worker
            self.remove(worker)
        return self.add()

    @property
    def idle(self) -> Sequence[Worker]:
        """Those that wait for work."""
        return [worker for worker in self.workers if worker.job is None]

    @property
    def busy(self) -> Sequence[Worker]:
        """Those that work."""
        return [worker for worker in self.workers if worker.job is not None]

    def wait(self, seconds: float | None) -> list[Worker]:
        """Those that have said something, or have ended.

        Args:
            seconds: How long to wait for that at most; None: without end.
        """
        if not self.workers:
            return []
        return [key.fileobj for key, _ in self._selector.select(seconds)]

    def stop(self) -> None:
        """Asks all that work to save their state, and waits until they have."""
        for worker in self.busy:
            worker.stop()
        left = _STOP_SECONDS
        while self.busy and left > 0:
            for worker in self.wait(1.0) or ():
                messages = worker.received()
                # An answer is no longer of interest; it waits for none.
                if messages is None:
                    self.remove(worker)
                elif any(m["is"] != "reached" for m in messages):
                    worker.job = None
                else:
                    worker.send({"goes_on": True})
            left -= 1.0
