"""The pages of mapped files that the next steps read, asked for before."""

import resource
import time
from concurrent.futures import Future, ThreadPoolExecutor

import tensorflow as tf

from kerascale.datasets.pages import Pages
from kerascale.engine.execution.rows_ahead import Part

# After files were found in the system's cache, until they are looked at again.
_QUIET_SECONDS = 1.0
# That may be worked out or waited for: a disk that is slower than the steps is not
# asked for more and more.
_MOST_BEGUN = 2
# Of a file that is somebody else's the system says that all is in its cache. Reads from
# the disk that steps had to wait for tell otherwise.
_FEW_FAULTS = 16


class PagesAhead:
    """Has the system read what follows a part in its epoch, while the part runs.

    Where the files are in the system's cache, they are looked at once a second, and
    nothing else is done.
    """

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._begun: list[Future] = []
        self._told: tuple[int, int, int] | None = None
        self._quiet_until = 0.0
        self._faults = major_faults()

    def begin(self, part: Part) -> None:
        """Begins with a part, if nobody told of it, and with what follows it."""
        pages = part.batches.pages
        if pages is None or time.monotonic() < self._quiet_until:
            return
        self._begun = [each for each in self._begun if not each.done()]
        if len(self._begun) >= _MOST_BEGUN:
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, "kerascale-pages-ahead")
        self._begun.append(self._pool.submit(self._tell, pages, part))

    def _tell(self, pages: Pages, part: Part) -> None:
        faults = major_faults()
        had_few, self._faults = faults - self._faults < _FEW_FAULTS, faults
        if had_few and pages.are_cached():
            self._quiet_until = time.monotonic() + _QUIET_SECONDS
            return
        batches, behind = part.batches, part.first + part.steps
        first = behind if part.key == self._told else part.first
        end = min(behind + part.steps, batches.num_whole_batches)
        if first >= end:
            return
        with tf.device("CPU:0"):
            number = tf.constant(first, tf.int64)
            indices = batches.indices_of(part.epoch, number, end - first)
        self._told = id(batches), int(part.epoch), behind
        pages.will_need(indices.numpy().reshape(-1), int(part.epoch))


def major_faults() -> int:
    """Pages that this process has waited for until they were read from a disk."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_majflt
