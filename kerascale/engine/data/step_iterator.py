"""What `fit` iterates over: it knows how many steps of the epoch are left."""

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import Any

import tensorflow as tf

from kerascale.datasets.pipeline import Batches
from kerascale.engine.data.set_epoch import SetEpoch


@dataclasses.dataclass
class StepsLeft:
    """What `fit` may still run in all of its epochs.

    Args:
        steps: How many, those of its first epoch that were done before included.
    """

    steps: int


class StepIterator:
    """An iterator that knows how many steps of the epoch are left.

    Args:
        elements: Those of the feed, or a function of this iterator that gives them.
            Where steps compute their batches themselves, none is ever asked for.
        steps_per_epoch: After that many `take` begins anew; None: unknown.
        num_batches: How many there are in all; None: unknown.
        skip: Steps of the epoch that were done before, and are not in the iterator.
        batches: What computes the elements from their place; or None.
        set_epoch: Knows the epoch; or None.
        steps_left: What the iterators of all epochs may run together; None: all.
        sizes_may_differ: Whether one batch may have another shape than the next.
            Those of `batches` have one shape, but for the smaller one at the end.
    """

    def __init__(
        self,
        elements: Iterable[Any] | Callable[["StepIterator"], Iterable[Any]],
        steps_per_epoch: int | None,
        num_batches: int | None,
        skip: int = 0,
        batches: Batches | None = None,
        set_epoch: SetEpoch | None = None,
        steps_left: StepsLeft | None = None,
        sizes_may_differ: bool = False,
    ) -> None:
        self._elements = elements
        self.steps_per_epoch = steps_per_epoch
        self.batches = batches
        self.sizes_may_differ = sizes_may_differ
        # Their numbers in the epoch.
        self.first_batch = self.next_batch = skip
        self._set_epoch = set_epoch
        self._steps_left = steps_left
        self._done = 0
        self._left = num_batches
        self._skip = skip

    @functools.cached_property
    def iterator(self) -> tf.data.Iterator:
        found = self._elements
        return iter(found(self) if callable(found) else found)

    @property
    def has_begun(self) -> bool:
        """Whether something was asked of the iterator."""
        return "iterator" in vars(self)

    @functools.cached_property
    def epoch(self) -> tf.Tensor:
        """The one in which the first step was taken; int64 scalar."""
        return self._set_epoch.epoch.read_value()

    def take(self, steps: int) -> int | None:
        """How many steps the next execution may run; None: until data ends.

        Steps that were done before are none.
        """
        if self.steps_per_epoch is None:
            return None
        steps = min(steps, self.steps_per_epoch - self._done)
        if self._left is not None:
            steps = min(steps, self._left)
            self._left -= steps
        if self._steps_left is not None:
            steps = min(steps, self._steps_left.steps)
            self._steps_left.steps -= steps
        self._done = (self._done + steps) % self.steps_per_epoch
        skipped = min(steps, self._skip)
        self._skip -= skipped
        self.next_batch += steps - skipped
        return steps - skipped

    def __next__(self) -> Any:
        return next(self.iterator)
