"""Sums of arrays over the processes of one host, through memory that they share.

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

from kerascale.strategies.shared_memory.peers import Peers

DTYPES = ("float64", "float32")

# Where TensorFlow takes an array as it is. Elsewhere it makes a copy.
_ALIGNMENT = 64
# Results that TensorFlow may hold at once without new memory.
_KEPT_RESULTS = 2
# In several turns over a block, it is read from the cache.
_BLOCK_BYTES = 2**17

# Kinds of messages.
_MEMORY, _OPENED, _WRITTEN, _SUMMED = range(1, 5)


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
        self._results = _Results()
        self._layouts: dict[tuple, _Layout] = {}
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
            return layout.views(parts[1 - self._peers.rank])

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            with self._lock:
                yield
        except (OSError, MemoryError) as error:
            raise self._peers.fail(f"shared memory: {error}") from error

    def _written(
        self, arrays: Sequence[np.ndarray]
    ) -> tuple["_Layout", list[np.ndarray]]:
        """What all ranks have written, once all have."""
        self._sequence += 1
        key = tuple((array.dtype.name, array.shape) for array in arrays)
        layout = self._layouts.get(key)
        if layout is None:
            layout = self._layouts[key] = _Layout(key)
        if layout.num_bytes > self._capacity:
            self._grow(layout)
        num_ranks = self._peers.num_ranks
        first = self._sequence % self._num_turns * num_ranks
        parts = [
            self._memory[place * self._capacity :][: layout.num_bytes]
            for place in range(first, first + num_ranks)
        ]
        own = layout.views(parts[self._peers.rank])
        for array, view in zip(arrays, own, strict=True):
            np.copyto(view, array)
        self._exchange(_WRITTEN, layout)
        return layout, parts

    def _sum(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        layout, parts = self._written(arrays)
        result = self._results.take(layout.num_bytes)
        if self._by_shares:
            total = self._memory[
                self._num_turns * self._peers.num_ranks * self._capacity :
            ]
            begin, end = layout.share(self._peers.rank, self._peers.num_ranks)
            layout.add(parts, total, begin, end)
            self._exchange(_SUMMED, layout)
            np.copyto(result, total[: layout.num_bytes])
        else:
            layout.add(parts, result, 0, layout.num_bytes)
        return layout.views(result)

    def _exchange(self, kind: int, layout: "_Layout", value: int = 0) -> list[int]:
        return self._peers.exchange(self._sequence, kind, layout.digest, value)

    def _grow(self, layout: "_Layout") -> None:
        """New memory, parts for each rank; and one for the sum, if it has shares."""
        self._memory = None
        num_parts = self._num_turns * self._peers.num_ranks + self._by_shares
        num_bytes = num_parts * layout.num_bytes
        is_first = self._peers.rank == 0
        file = -1
        try:
            if is_first:
                file = os.memfd_create("kerascale-sum")
                # All of it now: memory that is missing later would end the process.
                os.posix_fallocate(file, 0, num_bytes)
            number = self._exchange(_MEMORY, layout, file)[0]
            if not is_first:
                file = self._peers.open_file(0, number)
            memory = mmap.mmap(file, num_bytes)
            # Before the first closes it.
            self._exchange(_OPENED, layout)
        finally:
            if file >= 0:
                os.close(file)
        self._memory = np.frombuffer(memory, np.uint8)
        self._capacity = layout.num_bytes


class _Layout:
    """Where arrays are in a part: one kind after the other, each at an even place.

    Args:
        key: (dtype, shape) of each array.
    """

    def __init__(self, key: tuple[tuple[str, tuple[int, ...]], ...]) -> None:
        self.digest = zlib.crc32(repr(key).encode())
        self._places: list[tuple[int, int, str, tuple[int, ...]]] = [None] * len(key)
        # (dtype, begin, end) in bytes.
        self._regions: list[tuple[np.dtype, int, int]] = []
        at = 0
        for dtype in map(np.dtype, DTYPES):
            begin = at
            for i, (name, shape) in enumerate(key):
                if name == dtype.name:
                    end = at + dtype.itemsize * int(np.prod(shape, dtype=np.int64))
                    self._places[i] = (at, end, name, shape)
                    at = -(-end // _ALIGNMENT) * _ALIGNMENT
            self._regions.append((dtype, begin, at))
        # Memory of no bytes cannot be shared.
        self.num_bytes = max(at, _ALIGNMENT)

    def views(self, part: np.ndarray) -> list[np.ndarray]:
        """The arrays in a part."""
        return [
            part[begin:end].view(name).reshape(shape)
            for begin, end, name, shape in self._places
        ]

    def share(self, rank: int, num_ranks: int) -> tuple[int, int]:
        """The bytes that a rank adds up."""
        units = self.num_bytes // _ALIGNMENT
        begin, end = (units * r // num_ranks for r in (rank, rank + 1))
        return begin * _ALIGNMENT, end * _ALIGNMENT

    def add(
        self, parts: Sequence[np.ndarray], out: np.ndarray, begin: int, end: int
    ) -> None:
        """Adds parts up, one after the other, from one byte to another."""
        step = _BLOCK_BYTES if len(parts) > 2 else self.num_bytes
        # Gradients may overflow, and between arrays there may be anything.
        with np.errstate(all="ignore"):
            for dtype, first, last in self._regions:
                for at in range(max(begin, first), min(end, last), max(step, 1)):
                    block = slice(at, min(at + step, end, last))
                    one, two, *more = (part[block].view(dtype) for part in parts)
                    total = out[block].view(dtype)
                    np.add(one, two, out=total)
                    for part in more:
                        np.add(total, part, out=total)


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
            raw = np.empty(num_bytes + _ALIGNMENT, np.uint8)
            memory = raw[-raw.ctypes.data % _ALIGNMENT :][:num_bytes]
        # Every array that is made of it, and of those, holds this one: NumPy looks
        # for the owner of memory through arrays alone.
        lease = np.frombuffer(memoryview(memory), np.uint8)
        self._kept = [(memory, weakref.ref(lease)), *self._kept][:_KEPT_RESULTS]
        return lease[:num_bytes]
