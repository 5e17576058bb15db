"""Looks after running workers until none of them runs any more."""

import math
import signal
import time

from kerascale.errors import EXIT_DONE, EXIT_STOPPED
from kerascale.launch.progress import Progress
from kerascale.launch.pump import Pump
from kerascale.launch.signals import Signals
from kerascale.launch.summary import Ending
from kerascale.launch.worker import Worker, signal_name

_LOOK_SECONDS = 0.05
# Between SIGTERM and SIGKILL to workers that are stopped for the failure of another.
_TERM_SECONDS = 3.0
# For the stacks of a job that is stuck, before it is killed.
_STACKS_SECONDS = 2.0


class Watch:
    """Looks after running workers: signals, failures, silence, and time limits.

    Args:
        workers: The workers.
        progress: What is known of each of them, in the same order.
        signals: Signals to the launcher.
        pump: Shows what is said here.
        grace_seconds: How long workers may take to end after a signal.
        settle_seconds: How long they may take to end after another has failed.
    """

    def __init__(
        self,
        workers: list[Worker],
        progress: list[Progress],
        signals: Signals,
        pump: Pump,
        grace_seconds: float,
        settle_seconds: float,
    ) -> None:
        self._workers = workers
        self._progress = progress
        self._signals = signals
        self._pump = pump
        self._grace_seconds = grace_seconds
        self._settle_seconds = settle_seconds
        self._ending = Ending(workers)
        self._forwarded = False
        self._stop_at = self._kill_at = math.inf

    def until_the_end(self) -> Ending:
        """Returns when no worker runs any more.

        Returns:
            How they ended.
        """
        while any(worker.running for worker in self._workers):
            time.sleep(_LOOK_SECONDS)
            now = time.monotonic()
            self._note_ends(now)
            self._pass_on_signal(now)
            self._note_silence(now)
            self._keep_limits(now)
        self._look_at_progress(time.monotonic())
        beats = [progress.beat for progress in self._progress if progress.beat]
        self._ending.note_progress(beats)
        return self._ending

    def _look_at_progress(self, now: float) -> None:
        for progress in self._progress:
            progress.look(now)

    def _note_silence(self, now: float) -> None:
        self._look_at_progress(now)
        if self._ending.failed is not None or self._ending.signal is not None:
            return
        pairs = zip(self._workers, self._progress, strict=True)
        running = [(w, p) for w, p in pairs if w.running and p.beat is not None]
        if not any(p.is_stuck(now, w.is_stopped) for w, p in running):
            return
        # All wait for one: it is held up by a signal, or behind the others.
        worker, progress = min(
            running,
            key=lambda pair: (
                not pair[0].is_stopped,
                pair[1].beat.step,
                -pair[1].silent_seconds(now),
            ),
        )
        held = ", held up by a signal such as SIGSTOP" if worker.is_stopped else ""
        worker.stuck = (
            f"stuck ({progress.beat.phase}, step {progress.beat.step}): nothing for "
            f"{progress.silent_seconds(now):.0f} s{held}"
        )
        self._ending.failed = worker
        self._pump.say(
            f"kerascale launch: {worker.name} is {worker.stuck}. The stacks of all "
            "workers follow; then they are killed."
        )
        for each, _ in running:
            each.dump_stacks()
        self._kill_at = min(self._kill_at, now + _STACKS_SECONDS)

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
