"""Shows how packing goes: a view on a terminal, elsewhere a line from time to time."""

import time
from collections.abc import Callable

from kerascale.datasets.packed.progress import Progress
from kerascale.datasets.packed.rows import RowSource
from kerascale.runtime.console import counted, duration, is_live, say, show
from kerascale.runtime.live_view import LiveView

_VIEW_SECONDS = 0.5
_LINE_SECONDS = 10.0
_MB = 1e6


class Shown:
    """A `packing.Watcher` for a person; see `kerascale.runtime.console.live`."""

    def begin(self, source: RowSource, progress: Progress) -> None:
        self._source = source
        self._last = time.monotonic()
        # When the first rows came: what is loaded for them is no part of the pace.
        self._began: float | None = None
        if progress.rows:
            say(f"going on behind {counted(progress.rows, 'row')}")

    def rows(self, progress: Progress, num_bytes: int) -> None:
        now = time.monotonic()
        if self._began is None:
            self._began, self._bytes = now, 0
            self._first_share = self._share_of(progress)
            return
        self._bytes += num_bytes
        if not self._is_due(now):
            return
        share = self._share_of(progress)
        done = counted(progress.rows, "row")
        if self._source.num_rows:
            done = f"{progress.rows:,} of {counted(self._source.num_rows, 'row')}"
        seconds = now - self._began
        pace = f"{self._bytes / _MB / seconds:,.1f} MB/s"
        left = ""
        if share is not None and share > (self._first_share or 0):
            gained = share - (self._first_share or 0)
            left = f"{duration(seconds * (1 - share) / gained)} left"
        self._tell(done, share, left, pace)

    def finishing(self, what: str, share: float) -> None:
        if self._is_due(time.monotonic()):
            self._tell(what, share, "", "")

    def _is_due(self, now: float) -> bool:
        if now - self._last < (_VIEW_SECONDS if is_live() else _LINE_SECONDS):
            return False
        self._last = now
        return True

    def _tell(self, done: str, share: float | None, left: str, pace: str) -> None:
        if is_live():
            items = (pace,) if pace else ()
            show(LiveView(("packing", done), share or 0.0, left, items))
            return
        percent = "" if share is None else f"{int(100 * share)} %"
        say(", ".join(part for part in (done, percent, pace, left) if part))

    def _share_of(self, progress: Progress) -> float | None:
        """What is done, of the rows or else of the bytes of the source."""
        if self._source.num_rows:
            return min(1.0, progress.rows / self._source.num_rows)
        if self._source.num_bytes:
            return min(1.0, progress.bytes_read / self._source.num_bytes)
        return None


def show_checking() -> Callable[[int, int], None]:
    """What shows how `checking.check` goes."""
    began = last = time.monotonic()

    def seen(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < (_VIEW_SECONDS if is_live() else _LINE_SECONDS):
            return
        last, share = now, done / max(1, total)
        left = f"{duration((now - began) * (1 - share) / share)} left" if share else ""
        pace = f"{done / _MB / (now - began):,.1f} MB/s"
        if is_live():
            show(LiveView(("checking",), share, left, (pace,)))
        else:
            say(f"checking, {int(100 * share)} %, {pace}, {left}")

    return seen
