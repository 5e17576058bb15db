"""Steps on several replicas, over batches that may differ in their shapes.

They are a loop in one call, unless replicas gather rows in it: see `loop_shapes`. Then
each step has a call of its own, as with one step an execution.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from kerascale.engine.collectives import loop_shapes, replicas
from kerascale.engine.execution.step_logs import LOSSES
from kerascale.runtime.console import say

_NOTE = (
    "note: steps run one by one: replicas gather rows (of an embedding's gradients, or "
    "of ops.gather), and batches of this dataset may differ in their shapes. Arrays, "
    "and batches of fixed shapes (drop_remainder=True), run in a loop."
)


class AnySize:
    """A function that runs the steps of an execution.

    Args:
        execution: The `Executor` that it belongs to.
        loop: Runs all of them. Takes an iterator of the feed; int64 scalar steps, or
            nothing where the end is unknown; a batch that was read before, or none.
        single: Runs one. Takes an iterator, and a batch that was read before, or none.
    """

    def __init__(
        self, execution: Any, loop: Callable[..., Any], single: Callable[..., Any]
    ) -> None:
        self._execution = execution
        self._loop = loop
        self._single = single

    def __call__(self, iterator: tf.data.Iterator, *arguments: Any) -> Any:
        """As `loop`."""
        if not self._execution.has_single_calls:
            try:
                return self._loop(iterator, *arguments)
            except loop_shapes.ChangesError:  # While it was traced: nothing was read.
                self._give_up()
        *steps, first = arguments
        if steps:
            return self._known(iterator, int(steps[0]), first)
        return self._until_end(iterator, first)

    def get_concrete_function(
        self, iterator: tf.data.Iterator, *arguments: Any
    ) -> tf.types.experimental.ConcreteFunction:
        """What such a call runs, not run: all steps, or one of them."""
        if not self._execution.has_single_calls:
            try:
                return self._loop.get_concrete_function(iterator, *arguments)
            except loop_shapes.ChangesError:
                self._give_up()
        return self._single.get_concrete_function(iterator, arguments[-1])

    def _give_up(self) -> None:
        self._execution.has_single_calls = True
        if replicas.is_chief(self._execution.strategy):
            say(_NOTE)

    def _known(self, iterator: Any, steps: int, first: Any) -> dict[str, Any]:
        logs, losses = {}, []
        for number in range(steps):
            logs = self._single(iterator, _later(iterator, first) if number else first)
            losses.append(logs.pop(LOSSES, None))
        if losses and losses[0] is not None:
            logs[LOSSES] = tf.concat(losses, 0)
        return logs

    def _until_end(self, iterator: Any, first: Any) -> tuple[dict[str, Any], int]:
        logs, num = self._single(iterator, first)
        done = int(num)
        while num and done < self._execution.model.steps_per_execution:
            more, num = self._single(iterator, _later(iterator, first))
            if num:
                logs, done = more, done + 1
        return logs, done


def _later(iterator: tf.data.Iterator, first: Any) -> Any:
    """What follows a batch that was read before: none was."""
    if first is None:
        return None
    return tf.experimental.Optional.empty(iterator.element_spec)
