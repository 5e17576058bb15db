"""The worker of this host in one generation."""

import contextlib
import json
import math
import os
import pathlib
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import IO, Any

from kerascale.launch.elastic.records import Generation
from kerascale.launch.progress import Progress
from kerascale.launch.pump import Pump
from kerascale.launch.worker import Worker
from kerascale.runtime import heartbeat
from kerascale.runtime.terminal import Screen

# Between SIGTERM and SIGKILL.
_TERM_SECONDS = 3.0
_STACKS_SECONDS = 2.0
_OUTPUT_SECONDS = 2.0


class HostedWorker:
    """A worker, what it writes, and whether it still gets anywhere.

    Args:
        command: Program and arguments.
        generation: The one that it is a worker of.
        rank: Its place in it.
        environ: Its environment, beside what makes the cluster.
        restarts: Reason -> how often the job was started again.
        folder: For its signs of life.
        log: File that what it writes is added to.
        screen: Where it is shown.
        stuck_seconds: How long it may go without a step.
    """

    def __init__(
        self,
        command: Sequence[str],
        generation: Generation,
        rank: int,
        environ: Mapping[str, str],
        restarts: Mapping[str, int],
        folder: pathlib.Path,
        log: pathlib.Path,
        screen: Screen,
        stuck_seconds: float,
    ) -> None:
        self.generation = generation.number
        self.was_stopped = False
        self._ask_at = self._stop_at = self._kill_at = math.inf
        self._grace_seconds = 0.0
        self._has_trained = False
        beat = folder / f"generation-{generation.number}"
        now = time.monotonic()
        self._progress = Progress(beat, stuck_seconds, now)
        environment = _environment(environ, generation, rank, restarts, beat)
        self._lifeline, self._own_end = os.pipe()
        output = subprocess.PIPE if rank else None
        self._worker = Worker(0, command, environment, self._lifeline, output)
        self._worker.name = f"worker {rank}"
        self._log = log.open("a", encoding="utf-8")
        self._pump = Pump([self._worker], _Logged(screen, self._log))
        self._pump.start()

    @property
    def code(self) -> int | None:
        return self._worker.code

    @property
    def reason(self) -> str:
        return self._worker.reason if self._worker.code != 0 else ""

    @property
    def how(self) -> str:
        return self._worker.how

    @property
    def step(self) -> int:
        return self._progress.beat.step if self._progress.beat else 0

    @property
    def has_trained(self) -> bool:
        return self._has_trained

    @property
    def is_hopeless(self) -> bool:
        beat = self._progress.beat
        return beat is not None and beat.phase == heartbeat.HOPELESS

    def look(self, now: float) -> bool:
        """Looks after it. True on the one call that sees it end."""
        self._progress.look(now)
        beat = self._progress.beat
        if beat is not None and beat.phase in heartbeat.STEADY:
            self._has_trained = True
        if self._worker.look():
            self._progress.look(now)
            return True
        worker = self._worker
        if worker.stuck is None and self._progress.is_stuck(now, worker.is_stopped):
            held = ", held up by a signal such as SIGSTOP" if worker.is_stopped else ""
            worker.stuck = (
                f"stuck ({beat.phase}, step {beat.step}): nothing for "
                f"{self._progress.silent_seconds(now):.0f} s{held}"
            )
            self._pump.say(
                f"kerascale launch: {worker.name} is {worker.stuck}. Its stacks "
                "follow; then it is killed."
            )
            worker.dump_stacks()
            self._kill_at = min(self._kill_at, now + _STACKS_SECONDS)
        if now >= self._kill_at:
            self.kill()
        elif now >= self._stop_at:
            self._stop_at = math.inf
            self._kill_at = min(self._kill_at, now + _TERM_SECONDS)
            self.was_stopped = worker.stuck is None
            worker.forward(signal.SIGTERM)
        elif now >= self._ask_at:
            self.ask_to_stop(now, self._grace_seconds)
        return False

    def stop_soon(self, now: float, seconds: float) -> None:
        """Ends it, if it has not ended by itself in so many seconds."""
        if not self.was_stopped:
            self._stop_at = min(self._stop_at, now + seconds)

    def ask_soon(self, now: float, seconds: float, grace_seconds: float) -> None:
        """Asks it to save and to end, if it has not ended in so many seconds."""
        if self._kill_at == math.inf:
            self._ask_at = min(self._ask_at, now + seconds)
            self._grace_seconds = grace_seconds

    def ask_to_stop(self, now: float, grace_seconds: float) -> None:
        """Asks it to save and to end."""
        self._worker.forward(signal.SIGTERM)
        self._ask_at = math.inf
        self._kill_at = min(self._kill_at, now + grace_seconds)

    def kill(self) -> None:
        self._worker.forward(signal.SIGKILL)

    def close(self) -> None:
        """Leaves nothing of it behind; shows what it wrote last."""
        self._worker.forward(signal.SIGKILL)
        self._worker.collect()
        self._pump.finish(_OUTPUT_SECONDS)
        with contextlib.suppress(OSError):
            os.close(self._lifeline)
            os.close(self._own_end)
        self._log.close()


class _Logged(Screen):
    """A screen whose lines go to a file too."""

    def __init__(self, screen: Screen, log: IO[Any]) -> None:
        self._shown, self._file = screen, log
        self.is_terminal = screen.is_terminal

    def line(self, text: str) -> None:
        self._shown.line(text)
        with contextlib.suppress(OSError, ValueError):  # A disk that is full.
            self._file.write(f"{text}\n")
            self._file.flush()

    def status(self, text: str) -> None:
        self._shown.status(text)

    def show(self, view: Any) -> None:
        self._shown.show(view)


def _environment(
    environ: Mapping[str, str],
    generation: Generation,
    rank: int,
    restarts: Mapping[str, int],
    beat: pathlib.Path,
) -> dict[str, str]:
    own = {**environ, heartbeat.FILE: str(beat)}
    own[heartbeat.RESTARTS] = json.dumps(dict(restarts))
    addresses = [member.address for member in generation.members]
    if len(addresses) > 1:
        task = {"type": "worker", "index": rank}
        own["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})
    if rank:
        own["KERASCALE_PROGRESS"] = "off"
    return own
