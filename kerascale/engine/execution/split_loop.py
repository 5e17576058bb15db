"""Steps in a loop, each one split over the cores."""

from typing import Any

import tensorflow as tf

from kerascale.datasets import nests
from kerascale.engine.data.step_iterator import StepIterator
from kerascale.engine.execution import kept_programs, split
from kerascale.engine.execution.compiled_loop import CompiledSteps
from kerascale.engine.execution.step_logs import LOSSES


class SplitSteps(CompiledSteps):
    """A loop of steps that are split."""

    kind = "split"
    given_up = "steps are not split, but run as they are"
    is_said_in_a_trial = False

    def __init__(self, execution: Any) -> None:
        super().__init__(execution)
        # Of which size of batch.
        self._step: tuple[int, split.SplitStep] | None = None
        self._loop = execution.graph(self._in_a_loop)

    def release(self) -> None:
        pass  # It has none.

    def problem(self, iterator: StepIterator) -> str | Exception | None:
        size = iterator.batches.batch_size
        if self._step is not None and self._step[0] == size:
            return None
        step = split.SplitStep(self.model, size, split.num_parts(size))
        batch = self.execution.batch_of(iterator.batches)
        problem = step.problem(batch(iterator.epoch, tf.constant(0, tf.int64)))
        if not problem:
            self._step = (size, step)
        return problem

    def run(
        self, iterator: StepIterator, first: int, steps: int
    ) -> tuple[dict[str, Any], tf.Tensor]:
        del first  # The iterator is there.
        logs = self._loop(iterator.iterator, tf.constant(steps, tf.int64))
        return logs, logs.pop(LOSSES)

    def run_smaller(self, iterator: StepIterator, place: int) -> dict[str, Any]:
        del place
        return self.execution.step_of(iterator)

    def _in_a_loop(self, iterator: tf.data.Iterator, steps: tf.Tensor) -> Any:
        size, step = self._step
        kept_programs.stable_names()

        def run(batch: Any) -> dict[str, Any]:
            for tensor in nests.flat(batch):
                tensor.set_shape([size, *tensor.shape[1:]])
            step(batch)
            return {}

        return self.execution.in_a_loop(iterator, steps, run=run)
