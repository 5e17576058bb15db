"""Runs each configuration in processes of its own, none of which outlives this one."""

import collections
import dataclasses
import math
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence

from kerascale.diagnostics.verify.jobs import MARK, Configuration
from kerascale.diagnostics.verify.records import Record
from kerascale.launch.environment import make_environments
from kerascale.launch.lines import Lines
from kerascale.launch.worker import Worker

# A step, or what comes before the first one, that takes longer hangs.
LIMIT_SECONDS = 600.0
_LOOK_SECONDS = 0.05
# For the other workers, after one has failed: they say why, too.
_SETTLE_SECONDS = 10.0
# Between the signal that makes Python show where it hangs, and the end.
_TRACE_SECONDS = 2.0
# How Python's fault handler begins.
_TRACE = ("Current thread", "Stack (most recent call first)")
_LAST_LINES = 15
# A trace is longer, and what is wanted of it is its beginning.
_KEPT_LINES = 100
_CHILD = pathlib.Path(__file__).with_name("worker.py")


@dataclasses.dataclass(frozen=True)
class Ending:
    """How the processes of a configuration ended.

    Args:
        records: What each of them left, in the order of the workers.
        failed: What the one that failed first left; None: none has failed.
        failure: What went wrong, in a line; empty: nothing.
        last_lines: What the process that failed wrote last.
    """

    records: tuple[Record, ...]
    failed: Record | None = None
    failure: str = ""
    last_lines: tuple[str, ...] = ()


def run_all(
    configurations: Sequence[Configuration],
    job: pathlib.Path,
    folder: pathlib.Path,
    *,
    limit_seconds: float = LIMIT_SECONDS,
) -> list[Ending]:
    """Runs all configurations at the same time, until all of them have ended.

    When the first one fails the others are stopped: there is nothing to compare
    them with.

    Args:
        configurations: The first one is the reference.
        job: The file of what to train.
        folder: Where the records go.
        limit_seconds: How long a process may go without leaving anything.

    Returns:
        An ending for each configuration.
    """
    lifeline, own_end = os.pipe()
    groups: list[_Group] = []
    try:
        for configuration in configurations:
            groups.append(_Group(configuration, job, folder, lifeline, limit_seconds))
        while any(group.running for group in groups):
            time.sleep(_LOOK_SECONDS)
            for group in groups:
                group.look(time.monotonic())
            if groups[0].failure:
                for group in groups[1:]:
                    group.stop()
    finally:
        for group in groups:
            group.collect()
        os.close(lifeline)
        os.close(own_end)
    return [group.ending() for group in groups]


class _Group:
    """The processes of one configuration."""

    def __init__(
        self,
        configuration: Configuration,
        job: pathlib.Path,
        folder: pathlib.Path,
        lifeline: int,
        limit_seconds: float,
    ) -> None:
        self.failure = ""
        self._limit_seconds = limit_seconds
        self._folder = folder / configuration.strategy
        self._failed: _Process | None = None
        self._processes: list[_Process] = []
        environments = make_environments(
            _environ(),
            workers=configuration.workers,
            devices_per_worker=configuration.devices,
        )
        for index, environ in enumerate(environments):
            own = self._folder / str(index)
            own.mkdir(parents=True)
            command = [sys.executable, str(_CHILD), str(job), str(own)]
            command += [configuration.strategy]
            self._processes.append(_Process(index, command, environ, lifeline, own))
        self._seen = 0
        self._seen_at = time.monotonic()
        self._stop_at = self._kill_at = math.inf

    @property
    def running(self) -> bool:
        return any(process.worker.running for process in self._processes)

    def look(self, now: float) -> None:
        """Notes ends and progress, and keeps the time limits."""
        for process in self._processes:
            ended = process.worker.look()
            if ended and process.worker.code != 0 and self._failed is None:
                self._failed = process
                self.failure = f"its process has failed: {process.worker.how}"
                self._stop_at = now + _SETTLE_SECONDS
        seen = sum(1 for _ in self._folder.glob("*/*"))
        if seen != self._seen:
            self._seen, self._seen_at = seen, now
        if not self.running:
            return
        if not self.failure and now - self._seen_at > self._limit_seconds:
            steps = max(p.record.steps()[-1:] or [-1] for p in self._processes)[-1]
            where = "before the first step" if steps < 0 else f"after step {steps}"
            self.failure = (
                f"it hung {where}: nothing happened for {self._limit_seconds:g} s"
            )
            self._failed = self._processes[0]
            self._kill_at = now + _TRACE_SECONDS
            # Upon this the child writes where it is.
            for process in self._processes:
                process.worker.stop(signal.SIGUSR1)
        if now > min(self._stop_at, self._kill_at):
            self.stop()

    def stop(self) -> None:
        """Ends what still runs."""
        for process in self._processes:
            if process.worker.running:
                process.worker.forward(signal.SIGKILL)

    def collect(self) -> None:
        for process in self._processes:
            process.worker.collect()
            process.tail.join(2)

    def ending(self) -> Ending:
        records = tuple(process.record for process in self._processes)
        if self._failed is None:
            return Ending(records)
        which = f"{self._failed.worker.name}: " if len(self._processes) > 1 else ""
        return Ending(
            records, self._failed.record, which + self.failure, self._last_lines()
        )

    def _last_lines(self) -> tuple[str, ...]:
        lines = list(self._failed.tail.lines)
        traces = [i for i, line in enumerate(lines) if line.startswith(_TRACE)]
        if self._failed.worker.stopped_by == signal.SIGUSR1 and traces:
            return tuple(lines[traces[-1] :][:_LAST_LINES])
        return tuple(lines[-_LAST_LINES:])


class _Process:
    """One process, what it records, and what it wrote last."""

    def __init__(
        self,
        index: int,
        command: Sequence[str],
        environ: Mapping[str, str],
        lifeline: int,
        folder: pathlib.Path,
    ) -> None:
        self.worker = Worker(index, command, environ, lifeline, subprocess.DEVNULL)
        self.record = Record(folder)
        self.tail = _Tail(self.worker)
        self.tail.start()


class _Tail(threading.Thread):
    """Takes what a process writes, so that it never waits, and keeps the end."""

    def __init__(self, worker: Worker) -> None:
        super().__init__(name="kerascale-verify-output", daemon=True)
        self._pipe = worker.process.stderr
        self.lines: collections.deque[str] = collections.deque(maxlen=_KEPT_LINES)

    def run(self) -> None:
        lines = Lines()
        while data := os.read(self._pipe.fileno(), 65536):
            self.lines.extend(lines.feed(data))
        self.lines.extend(lines.close())


def _environ() -> dict[str, str]:
    # Clusters and GPUs of this host are not what is compared.
    environ = {k: v for k, v in os.environ.items() if k != "TF_CONFIG"}
    environ["CUDA_VISIBLE_DEVICES"] = "-1"
    environ["KERASCALE_PROGRESS"] = "off"
    environ[MARK] = "1"
    environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    return environ
