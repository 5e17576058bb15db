"""Processes that train one trial after the other, with TensorFlow imported once."""

import contextlib
import json
import os
import pathlib
import selectors
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from kerascale.launch import starter

_MODULE = "kerascale.tuning.worker"
# For a worker that was asked to stop to save its state.
_STOP_SECONDS = 120.0
# What a process keeps of each training, however little, must not add up.
_MOST_JOBS = 100
# For one that has no more jobs to end by itself.
_END_SECONDS = 5.0


class Worker:
    """A process that takes jobs, one at a time.

    It ends with this process, however that ends: see `kerascale.launch.starter`.

    Args:
        lifeline: A pipe's read end; the worker is killed when the other end closes.
        log: The file that its messages go to until a job names another.
    """

    def __init__(self, lifeline: int, log: pathlib.Path) -> None:
        # Modules are found where this process finds them: a folder of the user's must
        # not hide one that has its name.
        flags = [] if {"", os.getcwd()} & set(sys.path) else ["-P"]
        command = [sys.executable, *flags, "-m", _MODULE]
        # A trial is trained by one process, though the command be one of many tasks.
        environ = {
            name: value
            for name, value in os.environ.items()
            if name != "TF_CONFIG" and not name.startswith("SLURM_")
        }
        environ["KERASCALE_PROGRESS"] = "off"
        environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        with log.open("ab") as messages:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", starter.__file__, str(lifeline), *command],
                env=environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=messages,
                pass_fds=(lifeline,),
                start_new_session=True,
                bufsize=0,
            )
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
        return self._process.stdout.fileno()

    def send(self, message: Mapping[str, Any]) -> None:
        """Sends a job, or an answer. To one that has ended nothing is sent."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(message).encode() + b"\n")

    def received(self) -> list[dict[str, Any]] | None:
        """What it has said, once there is something; None: it has ended."""
        data = os.read(self.fileno(), 2**16)
        if not data:
            return None
        *lines, self._received = (self._received + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def stop(self) -> None:
        """Asks it to save its state and to end its job."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGTERM)

    def end(self) -> str:
        """Kills what is left of it, and says how it ended."""
        with contextlib.suppress(OSError):
            self._process.stdin.close()  # There are no more jobs.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        code = self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        return f"exit code {code}"


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
