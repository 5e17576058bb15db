"""Starts the workers and stays with them until all of them have ended."""

import contextlib
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any, TextIO

from kerascale.errors import EXIT_DONE, RefusedError
from kerascale.launch.environment import make_environments
from kerascale.launch.pump import Pump
from kerascale.launch.screen import Screen
from kerascale.launch.signals import Signals
from kerascale.launch.summary import EXIT_STOPPED, Ending, describe
from kerascale.launch.worker import Worker, signal_name

_LOOK_SECONDS = 0.05
# Between SIGTERM and SIGKILL to workers that are stopped for the failure of another.
_TERM_SECONDS = 3.0
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
) -> int:
    """Runs a command as several workers of one cluster on this machine.

    The first worker's standard output is the launcher's; everything else that the
    workers write goes to standard error, line by line, with the worker's name before
    it. SIGINT, SIGTERM and SIGHUP are passed on to every worker; a second SIGINT
    kills them. When one worker fails, the others are stopped. Nothing that the
    workers have started in their process groups outlives this call, or a kill of
    this process.

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
    environments = make_environments(
        os.environ if environ is None else environ,
        workers=workers,
        devices_per_worker=devices_per_worker,
        terminal_size=screen.size(),
    )
    sys.stdout.flush()
    with Signals() as signals, _started(command, environments, stdout) as started:
        names = (f"{worker.name} (process {worker.process.pid})" for worker in started)
        screen.line(f"kerascale launch: started {', '.join(names)}.")
        pump = Pump(started, screen)
        pump.start()
        watch = _Watch(started, signals, pump, grace_seconds, settle_seconds)
        ending = watch.until_the_end()
    # From here on a signal ends this process as usual, even if a terminal that is
    # stopped holds up what is left to show.
    pump.finish(_OUTPUT_SECONDS)
    text = describe(ending, pump.last_lines)
    if text:
        screen.line(f"kerascale launch: {text}")
    return ending.exit_code


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


class _Watch:
    """Looks after running workers: signals, failures, and the time limits of both."""

    def __init__(
        self,
        workers: list[Worker],
        signals: Signals,
        pump: Pump,
        grace_seconds: float,
        settle_seconds: float,
    ) -> None:
        self._workers = workers
        self._signals = signals
        self._pump = pump
        self._grace_seconds = grace_seconds
        self._settle_seconds = settle_seconds
        self._ending = Ending(workers)
        self._forwarded = False
        self._stop_at = self._kill_at = math.inf

    def until_the_end(self) -> Ending:
        """Returns when no worker runs any more."""
        while any(worker.running for worker in self._workers):
            time.sleep(_LOOK_SECONDS)
            now = time.monotonic()
            self._note_ends(now)
            self._pass_on_signal(now)
            self._keep_limits(now)
        return self._ending

    def _note_ends(self, now: float) -> None:
        ended = [worker for worker in self._workers if worker.look()]
        for worker in ended:
            # What it has started holds connections that tell the others it lives.
            worker.forward(signal.SIGKILL)
        failed = [
            worker
            for worker in ended
            if worker.code != EXIT_DONE and worker.stopped_by is None
        ]
        before = self._ending.failed
        known = before is not None and before.code != EXIT_STOPPED
        if not failed or known or self._ending.signal is not None:
            return
        # Of several that are seen at once, one that was killed brought down the
        # others, which end by an exit code; one that was told to stop did not fail.
        first = min(failed, key=lambda w: (w.code == EXIT_STOPPED, w.code > 0))
        if first.code != EXIT_STOPPED:
            self._ending.failed = first
            self._stop_at = now + self._settle_seconds
        elif before is None:
            # The others are saving the same step.
            self._ending.failed = first
            self._stop_at = now + self._grace_seconds

    def _pass_on_signal(self, now: float) -> None:
        number = self._signals.first
        if number is None:
            return
        running = [worker for worker in self._workers if worker.running]
        if not self._forwarded and running:
            self._forwarded = True
            if self._ending.failed is None:
                self._ending.signal = number
            for worker in running:
                worker.forward(number)
            self._kill_at = min(self._kill_at, now + self._grace_seconds)
            hint = " Ctrl-C again kills them." if number == signal.SIGINT else ""
            self._pump.say(
                f"kerascale launch: {signal_name(number)} passed on; waiting up to "
                f"{self._grace_seconds:g} s for {len(running)} workers to end.{hint}"
            )
        if self._signals.hurry:
            self._kill_at = min(self._kill_at, now)

    def _keep_limits(self, now: float) -> None:
        if now >= self._kill_at:
            self._kill_at = math.inf
            self._stop(signal.SIGKILL)
        elif now >= self._stop_at:
            self._stop_at = math.inf
            self._kill_at = min(self._kill_at, now + _TERM_SECONDS)
            self._stop(signal.SIGTERM)

    def _stop(self, number: int) -> None:
        for worker in self._workers:
            if worker.running:
                worker.stop(number)
