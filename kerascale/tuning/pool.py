"""Crews of processes that train one trial after the other, and what they say."""

import os
import pathlib
import selectors
from collections.abc import Sequence

from kerascale.tuning.crew import Crew

# For a worker that was asked to stop to save its state.
_STOP_SECONDS = 120.0
# What a process keeps of each training, however little, must not add up.
_MOST_JOBS = 100


class Pool:
    """Workers, and what they say.

    Args:
        log: The file that messages of no job go to.
        workers: How many processes train a trial together.
    """

    def __init__(self, log: pathlib.Path, workers: int = 1) -> None:
        self._log = log
        self._size = workers
        self._lifeline, self._own_end = os.pipe()
        self._selector = selectors.DefaultSelector()
        self.workers: list[Crew] = []

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *error: object) -> None:
        for worker in list(self.workers):
            self.remove(worker)
        self._selector.close()
        os.close(self._own_end)
        os.close(self._lifeline)

    def add(self) -> Crew:
        """A new worker."""
        crew = Crew(self._lifeline, self._log, self._size)
        self.workers.append(crew)
        for member in crew.members:
            self._selector.register(member, selectors.EVENT_READ, crew)
        return crew

    def remove(self, worker: Crew) -> str:
        """Ends a worker, and says how it ended."""
        for member in worker.members:
            self._selector.unregister(member)
        self.workers.remove(worker)
        return worker.end()

    def free(self) -> Crew:
        """One that waits for work: one that is there, or a new one."""
        for worker in self.idle:
            if worker.jobs_done < _MOST_JOBS and not worker.is_broken:
                return worker
            self.remove(worker)
        return self.add()

    @property
    def idle(self) -> Sequence[Crew]:
        """Those that wait for work."""
        return [worker for worker in self.workers if worker.job is None]

    @property
    def busy(self) -> Sequence[Crew]:
        """Those that work."""
        return [worker for worker in self.workers if worker.job is not None]

    def wait(self, seconds: float | None) -> list[Crew]:
        """Those that have said something, or have ended.

        Args:
            seconds: How long to wait for that at most; None: without end.
        """
        if not self.workers:
            return []
        ready = [key.data for key, _ in self._selector.select(seconds)]
        late = [crew for crew in self.workers if crew.is_late]
        return list(dict.fromkeys([*ready, *late]))

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
