"""Loops of steps that take their rows of arrays in memory themselves."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from kerascale.datasets.pipeline import Batches
from kerascale.engine.data.step_iterator import StepIterator
from kerascale.engine.execution import local_rows
from kerascale.engine.execution.local_rows import LocalRows
from kerascale.engine.execution.step_logs import LOSSES

_Loop = Callable[..., dict[str, Any]]


class RowLoops:
    """Runs steps of batches of arrays on the replicas of this process.

    Args:
        execution: An `Executor`.
        run: Runs one step on an element of the feed, and returns its logs; None: as
            the execution does.
        after: Called behind a loop that is traced; None: nothing is.
    """

    def __init__(
        self,
        execution: Any,
        run: Callable[[Any], Any] | None = None,
        after: Callable[[], None] | None = None,
    ) -> None:
        self._execution = execution
        self._run, self._after = run, after
        # One graph: the arrays, which are those of a `fit`, are its arguments.
        self._made: tuple[LocalRows, _Loop] | None = None
        # One step, of a batch of any size.
        self._smaller: _Loop | None = None

    def can_be(self, iterator: StepIterator) -> bool:
        """Whether the batches of an iterator can be read so."""
        execution, batches = self._execution, iterator.batches
        return (
            batches is not None
            and execution.ids is not None
            and not execution.model.run_eagerly
            and local_rows.are_at_hand(batches, execution.strategy)
        )

    def run(self, iterator: StepIterator, first: int, steps: int) -> dict[str, Any]:
        """The logs of so many full batches from a place in the epoch on."""
        rows, loop = self._of(iterator.batches)
        given = rows.given(iterator.batches, iterator.epoch, first, steps)
        return loop(tf.constant(steps, tf.int64), *given)

    def run_smaller(self, iterator: StepIterator, place: int) -> dict[str, Any]:
        """The logs of the smaller batch at the end of an epoch."""
        rows, _ = self._of(iterator.batches)
        element = rows.smaller(iterator.batches, iterator.epoch, place)
        if self._smaller is None:
            self._smaller = self._execution.graph(self._execution.one)
            self._smaller.get_concrete_function(rows.element_spec)
        return self._smaller(element)

    def run_taken(self, iterator: StepIterator, steps: int) -> dict[str, Any]:
        """The logs of steps, of any size, that were taken of the iterator."""
        first, losses = iterator.next_batch - steps, []
        full = max(0, min(steps, iterator.batches.num_whole_batches - first))
        if full:
            logs = self.run(iterator, first, full)
            losses.append(logs.pop(LOSSES, None))
        for place in range(first + full, first + steps):
            logs = self.run_smaller(iterator, place)
            losses.append(logs.pop(LOSSES, None))
        if losses[0] is not None:
            logs[LOSSES] = tf.concat(losses, 0)
        return logs

    def traced(self, iterator: StepIterator) -> tf.types.experimental.ConcreteFunction:
        """What `run` runs, not run."""
        return self._of(iterator.batches)[1].get_concrete_function()

    def _of(self, batches: Batches) -> tuple[LocalRows, _Loop]:
        execution = self._execution
        rows = LocalRows(batches, execution.ids, execution.num_replicas)
        if self._made is None or self._made[0].key != rows.key:

            def loop(steps: tf.Tensor, *given: tf.Tensor) -> dict[str, Any]:
                read = lambda i: rows.element(given, i)  # noqa: E731
                logs = execution.loop_of(read, rows.element_spec, steps, self._run)
                if self._after is not None:
                    self._after()
                return logs

            signature = [tf.TensorSpec([], tf.int64), *rows.arguments]
            graph = tf.function(loop, input_signature=signature, autograph=False)
            self._made, self._smaller = (rows, graph), None
        return self._made
