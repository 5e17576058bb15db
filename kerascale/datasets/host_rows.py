"""Rows that Python reads: files, decoders and a user's own code, in threads."""

import itertools
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import tensorflow as tf

from kerascale.datasets import at_exit
from kerascale.runtime.host import usable_cores

# Row numbers (int64 of shape (rows,)), and what else is known of each row -> an array
# for each tensor.
Read = Callable[..., list[np.ndarray]]

_MOST_THREADS = 32
# Rows that a thread reads at once: enough to be worth a call, and so few that each
# thread has two pieces at least, so that all end together.
_SMALLEST_PIECE, _LARGEST_PIECE = 4, 16

_errors: dict[int, Exception] = {}
_MOST_ERRORS = 16
_numbers = itertools.count(1)
_MARK = "kerascale row error "


class RowError(RuntimeError):
    """A row cannot be read, once training has begun. The command exits with 1."""


class StageClock:
    """How long each stage of reading took, over all threads."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Counts what is done inside, for a stage of that name."""
        began = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - began
            with self._lock:
                self.seconds[name] = self.seconds.get(name, 0.0) + seconds


class HostRows:
    """Reads rows in threads; which one reads what changes no bit.

    Args:
        read: Of a few rows at a time; threads call it at once.
        specs: Of each tensor, without the first axis.
        clock: Of what `read` does.
        num_threads: That read; 1: `read` is never called twice at once; None: as
            many as there are cores.
        piece: Rows of a call, where `read` has threads of its own and Python is what
            is short; None: few, so that all threads end together.
    """

    def __init__(
        self,
        read: Read,
        specs: list[tf.TensorSpec],
        clock: StageClock | None = None,
        num_threads: int | None = None,
        piece: int | None = None,
    ) -> None:
        self._read = read
        self.specs = specs
        self.clock = StageClock() if clock is None else clock
        self.num_threads = num_threads or min(_MOST_THREADS, usable_cores())
        self._piece = piece
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()

    def __call__(self, rows: tf.Tensor, *more: tf.Tensor) -> list[tf.Tensor]:
        """The tensors of some rows, in a graph or outside of one.

        Args:
            rows: int64 of shape (rows,).
            more: What else `read` takes, a row for each of them.
        """
        if tf.executing_eagerly():
            given = [tensor.numpy() for tensor in (rows, *more)]
            with tf.device("CPU:0"):
                return [tf.convert_to_tensor(array) for array in self.arrays(*given)]
        dtypes = [spec.dtype for spec in self.specs]
        # With state it would be called for one batch at a time where operations are
        # deterministic.
        found = tf.numpy_function(
            at_exit.awaited(self._arrays_or_mark),
            [rows, *more],
            dtypes,
            stateful=False,
        )
        static = rows.shape[0]
        return [
            tf.ensure_shape(tensor, [static, *spec.shape])
            for tensor, spec in zip(tf.nest.flatten(found), self.specs, strict=True)
        ]

    def arrays(self, rows: np.ndarray, *more: np.ndarray) -> list[np.ndarray]:
        """The arrays of some rows.

        Raises:
            RowError: Or what `read` raises.
        """
        # Behind the end of an epoch the last row is asked for again and again.
        _, first, places = np.unique(rows, return_index=True, return_inverse=True)
        if len(first) == len(rows):
            return self._in_pieces([rows, *more])
        found = self._in_pieces([given[first] for given in (rows, *more)])
        return [array[places] for array in found]

    def _in_pieces(self, given: list[np.ndarray]) -> list[np.ndarray]:
        if self.num_threads == 1:
            with self._lock:
                return self._read(*given)
        count = len(given[0])
        piece = self._piece
        if piece is None:
            piece = -(-count // (2 * self.num_threads))
            piece = min(_LARGEST_PIECE, max(_SMALLEST_PIECE, piece))
        if count <= piece:
            return self._read(*given)
        futures = [
            self._threads().submit(self._read, *(g[i : i + piece] for g in given))
            for i in range(0, count, piece)
        ]
        found = [future.result() for future in futures]
        return [np.concatenate(parts) for parts in zip(*found, strict=True)]

    def _threads(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self.num_threads, "kerascale-rows")
                weakref.finalize(self, self._pool.shutdown, wait=False)
            return self._pool

    def _arrays_or_mark(self, *given: np.ndarray) -> list[np.ndarray]:
        try:
            return self.arrays(*given)
        except Exception as error:
            # TensorFlow makes a text of it, by which `cause` finds it again.
            number = next(_numbers)
            _errors[number] = error
            _errors.pop(number - _MOST_ERRORS, None)
            raise RuntimeError(f"{_MARK}{number}: {error}") from error


def cause(error: Exception) -> Exception | None:
    """What was raised in a thread that read rows; None: it is another error."""
    _, found, rest = str(error).partition(_MARK)
    number = rest.partition(":")[0]
    return _errors.get(int(number)) if found and number.isdecimal() else None
