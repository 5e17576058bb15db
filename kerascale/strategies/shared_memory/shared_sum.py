"""Sums and rows of arrays over the processes of one host, in memory that they share.

The memory has no name: the first process makes it, the others open it through
`/proc/PID/fd`, and it is gone with the last of them, however they end.
"""

import contextlib
import mmap
import os
import threading
import weakref
import zlib
from collections.abc import Iterator, Sequence

import numpy as np

from kerascale.strategies.shared_memory.part_layout import (
    ALIGNMENT,
    COUNTS,
    Layout,
    digest_of_rows,
)
from kerascale.strategies.shared_memory.peers import Peers

# Results that TensorFlow may hold at once without new memory.
_KEPT_RESULTS = 2
# Each number of rows has its own.
_MOST_LAYOUTS = 64

# Kinds of messages.
_MEMORY, _OPENED, _WRITTEN, _SUMMED, _SIZE = range(1, 6)


class SharedSum:
    """Adds up arrays over all ranks. All of them call it with arrays of equal shapes.

    The sum is taken in the order of the ranks: all have the same bits, in every run.
    With two ranks each adds up everything; with more each adds up a share, for all.

    Of two ranks each writes to two parts of the memory in turns. Who has come to the
    next sum has read what was written for this one, so what is written for the one
    after it may lie over that: nobody has to say that it has read.

    Args:
        peers: Connected.
    """

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._sequence = 0
        self._capacity = 0
        self._memory: np.ndarray | None = None
        # Of each turn, that of each rank.
        self._parts: list[list[np.ndarray]] = []
        self._results = _Results()
        self._layouts: dict[tuple, Layout] = {}
        self._by_shares = peers.num_ranks > 2
        # Of shares it is known that the parts are read when the sum is there.
        self._num_turns = 1 if self._by_shares else 2
        # TensorFlow may call from any of its threads.
        self._lock = threading.Lock()

    def __call__(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The sum of each array.

        Args:
            arrays: Of `DTYPES`.

        Raises:
            PeerError: A peer is gone, does not come, or is out of step.
        """
        with self._alone():
            return self._sum(arrays)

    def of_other(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The arrays of the other one of two ranks, not added up.

        They are memory of the other's: to be read before the next call of any kind, and
        not to be written.

        Args:
            arrays: As of `__call__`.

        Raises:
            PeerError: As `__call__`.
        """
        with self._alone():
            layout, parts = self._written(arrays)
            return layout.kept_views(parts[1 - self._peers.rank])

    def swap(
        self, arrays: Sequence[np.ndarray], theirs: Sequence[tuple[str, tuple]]
    ) -> list[np.ndarray]:
        """What the other one of two ranks gives, for what it is given.

        Args:
            arrays: For the other; of `DTYPES`.
            theirs: (dtype, shape) of each array that it gives.

        Returns:
            Memory of the other's, as of `of_other`.

        Raises:
            PeerError: As `__call__`.
        """
        with self._alone():
            self._sequence += 1
            own = self._layout_of(arrays)
            other = self._layout(theirs)
            of_ranks = [own, other] if self._peers.rank == 0 else [other, own]
            digest = zlib.crc32(repr([each.digest for each in of_ranks]).encode())
            most = max(own.num_bytes, other.num_bytes)
            if most > self._capacity:
                self._grow(most, digest)
            parts = self._all_parts(arrays, own, digest)
            return other.kept_views(parts[1 - self._peers.rank])

    def give_up(self, reason: str) -> None:
        """Ends all sums, here and with the others.

        Args:
            reason: What each further call says.
        """
        with self._lock:
            self._peers.fail(reason)

    def rows_of_other(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """As `of_other`, of arrays that may have more rows on one rank.

        Args:
            arrays: Of `ROW_DTYPES`, with one axis at least. All ranks have the same
                dtypes, and the same shape of a row.

        Raises:
            PeerError: As `__call__`.
        """
        with self._alone():
            return self._rows(arrays)[1 - self._peers.rank]

    def rows(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The rows of all ranks, in the order of ranks.

        Args:
            arrays: As of `rows_of_other`.

        Raises:
            PeerError: As `__call__`.
        """
        with self._alone():
            of_ranks = self._rows(arrays)
            found = [np.concatenate(each) for each in zip(*of_ranks, strict=True)]
            if self._num_turns == 1:  # The next to write is to know that all have read.
                self._exchange(_SUMMED, digest_of_rows(arrays))
            return found

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            with self._lock:
                yield
        except (OSError, MemoryError) as error:
            raise self._peers.fail(f"shared memory: {error}") from error

    def _written(self, arrays: Sequence[np.ndarray]) -> tuple[Layout, list[np.ndarray]]:
        """Where arrays of one shape lie, and what all ranks have written."""
        self._sequence += 1
        layout = self._layout_of(arrays)
        if layout.num_bytes > self._capacity:
            self._grow(layout.num_bytes, layout.digest)
        return layout, self._all_parts(arrays, layout, layout.digest)

    def _rows(self, arrays: Sequence[np.ndarray]) -> list[list[np.ndarray]]:
        """What each rank has written, however many rows it has of each."""
        self._sequence += 1
        counts = np.array([len(each) for each in arrays], np.int64)
        digest = digest_of_rows(arrays)
        layout = self._layout_of_rows(arrays, counts)
        sizes = self._exchange(_SIZE, digest, layout.num_bytes)
        if max(sizes) > self._capacity:  # With room for some rows more.
            self._grow(max(sizes) * 5 // 4 // ALIGNMENT * ALIGNMENT, digest)
        found = []
        for part in self._all_parts([counts, *arrays], layout, digest):
            theirs = part[: counts.nbytes].view(np.int64)
            views = self._layout_of_rows(arrays, theirs).views(part)
            found.append(views[1:])
        return found

    def _layout_of_rows(
        self, arrays: Sequence[np.ndarray], counts: np.ndarray
    ) -> Layout:
        shapes = [
            (each.dtype.char, (count, *each.shape[1:]))
            for each, count in zip(arrays, counts.tolist(), strict=True)
        ]
        return self._layout([(COUNTS, counts.shape), *shapes])

    def _layout_of(self, arrays: Sequence[np.ndarray]) -> Layout:
        return self._layout([(each.dtype.char, each.shape) for each in arrays])

    def _layout(self, key: Sequence[tuple[str, tuple[int, ...]]]) -> Layout:
        key = tuple(key)
        layout = self._layouts.get(key)
        if layout is None:
            if len(self._layouts) >= _MOST_LAYOUTS:
                self._layouts.clear()
            layout = self._layouts[key] = Layout(key)
        return layout

    def _all_parts(
        self, arrays: Sequence[np.ndarray], layout: Layout, digest: int
    ) -> list[np.ndarray]:
        """Writes what this rank has; the memory of each rank, once all have written."""
        parts = self._parts[self._sequence % self._num_turns]
        own = layout.kept_views(parts[self._peers.rank])
        for array, view in zip(arrays, own, strict=True):
            np.copyto(view, array)
        self._exchange(_WRITTEN, digest)
        return parts

    def _sum(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        layout, parts = self._written(arrays)
        result = self._results.take(layout.num_bytes)
        if self._by_shares:
            total = self._memory[
                self._num_turns * self._peers.num_ranks * self._capacity :
            ]
            begin, end = layout.share(self._peers.rank, self._peers.num_ranks)
            layout.add(parts, total, begin, end)
            self._exchange(_SUMMED, layout.digest)
            np.copyto(result, total[: layout.num_bytes])
        else:
            layout.add(parts, result, 0, layout.num_bytes)
        return layout.views(result)

    def _exchange(self, kind: int, digest: int, value: int = 0) -> list[int]:
        return self._peers.exchange(self._sequence, kind, digest, value)

    def _grow(self, num_bytes: int, digest: int) -> None:
        """New memory, parts for each rank; and one for the sum, if it has shares."""
        self._memory, self._parts = None, []
        self._layouts.clear()  # They keep what lies in the memory before.
        num_parts = self._num_turns * self._peers.num_ranks + self._by_shares
        is_first = self._peers.rank == 0
        file = -1
        try:
            if is_first:
                file = os.memfd_create("kerascale-sum")
                # All of it now: memory that is missing later would end the process.
                os.posix_fallocate(file, 0, num_parts * num_bytes)
            number = self._exchange(_MEMORY, digest, file)[0]
            if not is_first:
                file = self._peers.open_file(0, number)
            memory = mmap.mmap(file, num_parts * num_bytes)
            # Before the first closes it.
            self._exchange(_OPENED, digest)
        finally:
            if file >= 0:
                os.close(file)
        self._memory = np.frombuffer(memory, np.uint8)
        self._capacity = num_bytes
        num_ranks = self._peers.num_ranks
        for first in range(0, self._num_turns * num_ranks, num_ranks):
            places = range(first, first + num_ranks)
            self._parts.append(
                [self._memory[at * num_bytes :][:num_bytes] for at in places]
            )


class _Results:
    """Memory for sums, used again when nobody holds an array in it any more.

    New memory of this size costs more than the sum itself: the system clears it.
    """

    def __init__(self) -> None:
        # With the lease that somebody may still have.
        self._kept: list[tuple[np.ndarray, weakref.ref]] = []

    def take(self, num_bytes: int) -> np.ndarray:
        memory = None
        for i, (free, lease) in enumerate(self._kept):
            if lease() is None and len(free) >= num_bytes:
                memory = free
                del self._kept[i]
                break
        if memory is None:
            raw = np.empty(num_bytes + ALIGNMENT, np.uint8)
            memory = raw[-raw.ctypes.data % ALIGNMENT :][:num_bytes]
        # Every array that is made of it, and of those, holds this one: NumPy looks
        # for the owner of memory through arrays alone.
        lease = np.frombuffer(memoryview(memory), np.uint8)
        self._kept = [(memory, weakref.ref(lease)), *self._kept][:_KEPT_RESULTS]
        return lease[:num_bytes]
