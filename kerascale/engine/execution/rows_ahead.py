"""What a program is given of the data, made while the program before it runs."""

import dataclasses
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import tensorflow as tf

from kerascale.datasets.pipeline import Batches
from kerascale.engine.data import waits


@dataclasses.dataclass(frozen=True)
class Part:
    """Full batches of one epoch that follow one another.

    Args:
        batches: Computed from their place; of one device.
        epoch: int64 scalar.
        first: The first batch.
        steps: How many.
    """

    batches: Batches
    epoch: tf.Tensor
    first: int
    steps: int

    @property
    def key(self) -> tuple[int, int, int]:
        """What decides its rows."""
        return id(self.batches), int(self.epoch), self.first


@dataclasses.dataclass(frozen=True)
class RowsOf:
    """A function of epoch and first batch: what a program is given of the data.

    Args:
        make: The function.
        is_quick: Whether that is made sooner than a thread begins.
    """

    make: Callable[[tf.Tensor, tf.Tensor], Any]
    is_quick: bool

    def __call__(self, epoch: tf.Tensor, first: int) -> Any:
        return self.make(epoch, tf.constant(first, tf.int64))


class RowsAhead:
    """The rows of a program, and those of the next one.

    Which thread makes them changes no bit: they are decided by epoch and place.
    """

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._next: tuple[tuple[int, int, int], Future] | None = None

    def of(self, part: Part, rows: RowsOf) -> Any:
        """The rows of a part: those that were begun before, if it is them."""
        began = time.perf_counter()
        begun, self._next = self._next, None
        if begun is not None and begun[0] == part.key:
            found = begun[1].result()
        else:
            found = rows(part.epoch, part.first)
        if not rows.is_quick:
            waits.add(time.perf_counter() - began)
        return found

    def begin(self, part: Part, rows: RowsOf) -> None:
        """Begins with what follows a part in its epoch, in a thread."""
        if rows.is_quick:
            return
        first, batches = part.first + part.steps, part.batches
        if first >= batches.num_whole_batches:
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, "kerascale-rows-ahead")
        following = dataclasses.replace(part, first=first)
        self._next = following.key, self._pool.submit(rows, part.epoch, first)

    def forget(self) -> None:
        """Lets go of what was begun."""
        if self._next is not None:
            self._next[1].cancel()
        self._next = None
