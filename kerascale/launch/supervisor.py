"""Starts the workers, stays with them until they have ended, and starts them again."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any, TextIO

from kerascale.errors import EXIT_STOPPED, RefusedError
from kerascale.launch.environment import make_environments
from kerascale.launch.progress import Progress
from kerascale.launch.pump import Pump
from kerascale.launch.restarts import Restarts
from kerascale.launch.signals import Signals
from kerascale.launch.summary import Ending, describe
from kerascale.launch.watch import Watch
from kerascale.launch.worker import Worker, signal_name
from kerascale.runtime import heartbeat
from kerascale.runtime.terminal import Screen

_LOOK_SECONDS = 0.05
_OUTPUT_SECONDS = 2.0


def launch(
    command: Sequence[str],
    *,
    workers: int,
    devices_per_worker: int = 1,
    environ: Mapping[str, str] | None = None,
    stdout: IO[Any] | None = None,
    stderr: TextIO | None = None,
    grace_seconds: float = 30.0,
    settle_seconds: float = 10.0,
    stuck_seconds: float = 30.0,
    max_restarts: int = 0,
    backoff_seconds: float = 1.0,
    on_start: Callable[[list[Worker], list[Progress]], None] | None = None,
) -> int:
    """Runs a command as several workers of one cluster on this machine.

    The first worker's standard output is the launcher's; everything else that the
    workers write goes to standard error, line by line, with the worker's name before
    it. SIGINT, SIGTERM and SIGHUP are passed on to every worker; a second SIGINT
    kills them. When one worker fails, or does not move any more, the others are
    stopped, and all are started again if that is allowed. Nothing that the workers
    have started in their process groups outlives this call, or a kill of this
    process.

    Args:
        command: Program and arguments.
        workers: Number of workers.
        devices_per_worker: Devices that each of them trains on.
        environ: Environment variables of the workers, beside those that make the
            cluster. None: those of this process.
        stdout: Where the first worker's standard output goes, a file with a
            descriptor. None: this process's.
        stderr: Where everything else goes. None: this process's.
        grace_seconds: How long workers may take to end after a signal.
        settle_seconds: How long they may take to end after another has failed.
        stuck_seconds: How long a worker that writes signs of life
            (`kerascale.runtime.heartbeat`) may go without a step. Twenty times as long
            where it may compile, read or write.
        max_restarts: How often all are started again after a failure. One that
            repeats at the same step is given up.
        backoff_seconds: The pause before the first restart; it doubles with each
            one.
        on_start: Called with the workers, and what is known of each, when they have
            been started: for who tests what a job survives.

    Returns:
        0 if all workers ended with 0. The exit code of the worker that failed
        first, 128 + N if signal N ended it. After a signal N to the launcher, the
        exit code that the workers agree on, else 128 + N.

    Raises:
        RefusedError: If the environment names a cluster already, or there are
            fewer GPUs than the workers need.
    """
    if not command or workers < 1 or devices_per_worker < 1:
        raise RefusedError(
            "launch: expected a command, at least 1 worker and at least 1 device "
            f"for each. Received: command={list(command)!r}, workers={workers!r}, "
            f"devices_per_worker={devices_per_worker!r}."
        )
    screen = Screen(sys.stderr if stderr is None else stderr)
    environ = dict(os.environ if environ is None else environ)
    restarts = Restarts(max_restarts, backoff_seconds)
    sys.stdout.flush()
    with Signals() as signals:
        while True:
            # Again each time: another process may have taken a port since.
            environments = make_environments(
                environ,
                workers=workers,
                devices_per_worker=devices_per_worker,
                terminal_size=screen.size(),
            )
            with (
                _watched(environments, stuck_seconds) as progress,
                _started(command, environments, stdout) as started,
            ):
                names = (f"{w.name} (process {w.process.pid})" for w in started)
                screen.line(f"kerascale launch: started {', '.join(names)}.")
                if on_start is not None:
                    on_start(started, progress)
                pump = Pump(started, screen)
                pump.start()
                watch = Watch(
                    started, progress, signals, pump, grace_seconds, settle_seconds
                )
                ending = watch.until_the_end()
            verdict = restarts.judge(ending)
            if not verdict.again:
                break
            pump.finish(_OUTPUT_SECONDS)
            screen.line(_words(ending, pump, verdict.text))
            if not _pause(verdict.seconds, signals):
                name = signal_name(signals.first)
                screen.line(f"kerascale launch: {name}: not started again.")
                return EXIT_STOPPED
            environ[heartbeat.RESTARTS] = json.dumps(restarts.reasons)
            if ending.run_dir is not None:
                environ[heartbeat.RUN_DIR] = ending.run_dir
    # From here on a signal ends this process as usual, even if a terminal that is
    # stopped holds up what is left to show.
    pump.finish(_OUTPUT_SECONDS)
    text = _words(ending, pump, verdict.text)
    if text:
        screen.line(text)
    return ending.exit_code


def _words(ending: Ending, pump: Pump, verdict: str) -> str:
    text = describe(ending, pump.last_lines)
    lines = [f"kerascale launch: {part}" for part in (text, verdict) if part]
    return "\n".join(lines)


def _pause(seconds: float, signals: Signals) -> bool:
    """Waits; False if a signal came meanwhile."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and signals.first is None:
        time.sleep(_LOOK_SECONDS)
    return signals.first is None


@contextlib.contextmanager
def _watched(
    environments: Sequence[dict[str, str]], stuck_seconds: float
) -> Iterator[list[Progress]]:
    """Tells each worker where to write its signs of life, and reads them."""
    with tempfile.TemporaryDirectory(prefix="kerascale-launch-") as folder:
        progress = []
        for index, environ in enumerate(environments):
            file = pathlib.Path(folder) / f"worker-{index}"
            environ[heartbeat.FILE] = str(file)
            progress.append(Progress(file, stuck_seconds, time.monotonic()))
        yield progress


@contextlib.contextmanager
def _started(
    command: Sequence[str],
    environments: Sequence[Mapping[str, str]],
    stdout: IO[Any] | None,
) -> Iterator[list[Worker]]:
    """The workers, none of which is left when this ends, however it ends."""
    lifeline, own_end = os.pipe()
    workers: list[Worker] = []
    try:
        for index, environ in enumerate(environments):
            output = subprocess.PIPE if index else stdout
            workers.append(Worker(index, command, environ, lifeline, output))
        yield workers
    finally:
        for worker in workers:
            worker.forward(signal.SIGKILL)
        for worker in workers:
            worker.collect()
        os.close(lifeline)
        os.close(own_end)
