"""Executions that XLA compiles, of batches that are computed from their place."""

import abc
import functools
from typing import Any

import tensorflow as tf

from kerascale.engine.compat import keras_private
from kerascale.engine.data.step_iterator import StepIterator
from kerascale.engine.execution import mode_of_model
from kerascale.engine.execution.modes import Kind, Mode
from kerascale.engine.execution.step_logs import LOSSES


class NotCompiledError(Exception):
    """XLA cannot compile the steps; none was run."""


class CompiledSteps(abc.ABC):
    """One way to run full batches; the smaller one of an epoch's end runs by itself.

    Args:
        execution: The `Executor` that it belongs to, which runs steps in a loop where
            they cannot be compiled.
    """

    kind: Kind
    # What a note says that has to say why.
    given_up: str
    # Whether it does so while modes are only tried.
    is_said_in_a_trial: bool

    def __init__(self, execution: Any) -> None:
        self.execution = execution
        self.model = execution.model
        self.logs = execution.logs

    def __call__(self, iterator: StepIterator) -> dict[str, Any] | None:
        """The logs of an execution; None, and nothing is done, if it cannot be."""
        batches, first = iterator.batches, iterator.next_batch
        if batches is None:
            # Silent where `compile` was told so, which means each step then.
            if mode_of_model.written(self.model) is not None:
                reason = "the data is neither arrays nor read by index"
                self.execution.give_up(reason)
            return None
        num_full = batches.num_whole_batches
        if num_full:
            problem = self._rounds_otherwise or self.problem(iterator)
            if problem:
                self.execution.give_up(problem)
                return None
        steps = iterator.take(self.model.steps_per_execution)
        if steps == 0:
            return dict.fromkeys(self.logs.names(), 0.0)
        full = max(0, min(steps, num_full - first))
        logs, losses = {}, []
        if full:
            try:
                logs, values = self.run(iterator, first, full)
            except NotCompiledError as error:
                self.execution.give_up(error)
                return self.execution.steps_of(iterator, steps)
            losses.append(values)
        if full < steps:
            logs = self.run_smaller(iterator, first + full)
            losses.append(logs.pop(LOSSES, tf.zeros([0], tf.float64)))
        logs[LOSSES] = tf.concat(losses, 0)
        return logs

    @functools.cached_property
    def _rounds_otherwise(self) -> str:
        """Why results would be further from single steps than they may be, or empty.

        XLA keeps more bits between two operations than single steps do, and parts of a
        batch round their sums: of the 8 bits of bfloat16 that is 2 % of a small bias.
        """
        layers = keras_private.all_layers(self.model)
        in_half = any(layer.compute_dtype == "bfloat16" for layer in layers)
        if not in_half or tf.config.list_logical_devices("GPU"):
            return ""
        return "in bfloat16 on a CPU it would round elsewhere than single steps do"

    @abc.abstractmethod
    def problem(self, iterator: StepIterator) -> str | Exception | None:
        """Why full batches cannot be run so, if that is known before."""

    @abc.abstractmethod
    def run(
        self, iterator: StepIterator, first: int, steps: int
    ) -> tuple[dict[str, Any], tf.Tensor]:
        """Runs full batches.

        Args:
            iterator: Of the data.
            first: The place of the first batch in the epoch.
            steps: How many.

        Returns:
            Logs, and the loss of each step, or none.

        Raises:
            NotCompiledError: Nothing was run.
        """

    @abc.abstractmethod
    def run_smaller(self, iterator: StepIterator, place: int) -> dict[str, Any]:
        """Runs the smaller batch at the end of an epoch; its logs, with its loss."""

    def is_of_mode(self, mode: Mode) -> bool:
        """Whether steps are executed in this mode already."""
        return mode.kind == self.kind

    @abc.abstractmethod
    def release(self) -> None:
        """Lets go of data in arrays."""
