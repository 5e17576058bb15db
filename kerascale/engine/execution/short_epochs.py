"""A short epoch of arrays: batches are gathered one by one, and no pipeline is made."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from kerascale.datasets import nests
from kerascale.datasets.gathers import FromArrays
from kerascale.engine.data.step_iterator import StepIterator
from kerascale.engine.execution.step_logs import LOSSES

# Steps of an epoch for which a pipeline takes longer to make than it saves.
_SHORT = 32


class ShortEpochs:
    """Executes the steps of such an epoch.

    Args:
        execution: What it is a part of.
    """

    def __init__(self, execution: Any) -> None:
        self._execution = execution
        # On a batch of any size; made when it is needed.
        self._step: Callable[..., Any] | None = None

    def can_be(self, iterator: StepIterator) -> bool:
        """Whether an iterator's epoch is one."""
        batches, steps = iterator.batches, iterator.steps_per_epoch
        return (
            batches is not None
            and self._execution.ids is None
            and isinstance(batches.gather, FromArrays)
            and steps is not None
            and steps <= _SHORT
            and not iterator.has_begun
            and not self._execution.model.run_eagerly
        )

    def run(self, iterator: StepIterator, steps: int) -> dict[str, Any]:
        """Runs so many steps, which were taken of the iterator; their logs."""
        batch_of = self._execution.batch_of(iterator.batches)
        first, losses = iterator.next_batch - steps, []
        for place in range(first, first + steps):
            batch = batch_of(iterator.epoch, tf.constant(place, tf.int64))
            logs = self._on(batch)
            losses.append(logs.pop(LOSSES, None))
        if losses[0] is not None:
            logs[LOSSES] = tf.concat(losses, 0)
        return logs

    def _on(self, batch: Any) -> dict[str, Any]:
        if self._step is None:
            self._step = self._execution.graph(self._execution.one)
            spec = nests.map_present(
                lambda t: tf.TensorSpec([None, *t.shape[1:]], t.dtype), batch
            )
            self._step.get_concrete_function(spec)
        return self._step(batch)
