"""Strikes a worker when it has come far enough."""

import signal
import threading
import time
from typing import Self

from kerascale.diagnostics.chaos import events
from kerascale.diagnostics.chaos.events import Event
from kerascale.launch.progress import Progress
from kerascale.launch.worker import Worker
from kerascale.runtime import heartbeat

_LOOK_SECONDS = 0.001
_SIGNALS = {
    events.KILL: signal.SIGKILL,
    events.KILL_IN_VALIDATION: signal.SIGKILL,
    events.TERM: signal.SIGTERM,
    events.STOP: signal.SIGSTOP,
}


class Killer:
    """Watches the workers of one attempt in a thread of its own.

    Args:
        event: What to do; None: only watch.
    """

    def __init__(self, event: Event | None) -> None:
        self._event = event
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        # Batches that had been trained: where the attempt began, and where it is.
        self.began_at: int | None = None
        self.step = 0
        self.struck = False

    def start(self, workers: list[Worker], progress: list[Progress]) -> None:
        """Begins to watch; `launch` calls it."""
        self._thread = threading.Thread(
            target=self._watch, args=(workers, progress), daemon=True
        )
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self, workers: list[Worker], progress: list[Progress]) -> None:
        while not self._ended.is_set():
            beats = [heartbeat.read(each.path) for each in progress]
            if beats[0] is not None and beats[0].run_dir is not None:
                if self.began_at is None:
                    self.began_at = beats[0].step
                self.step = max(self.step, beats[0].step)
            self._strike(workers, beats)
            time.sleep(_LOOK_SECONDS)

    def _strike(
        self, workers: list[Worker], beats: list[heartbeat.Beat | None]
    ) -> None:
        event = self._event
        if self.struck or event is None or event.kind not in _SIGNALS:
            return
        beat = beats[event.worker]
        if beat is None or beat.step < event.step:
            return
        phases = (heartbeat.VALIDATING, heartbeat.BETWEEN)
        if event.kind != events.KILL_IN_VALIDATION:
            phases = (heartbeat.TRAINING, *phases)
        if beat.phase not in phases:
            return
        self.struck = True
        time.sleep(event.delay)
        workers[event.worker].forward(_SIGNALS[event.kind])
