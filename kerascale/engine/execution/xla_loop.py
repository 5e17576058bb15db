"""The steps of an execution as one program of XLA."""

from typing import Any

import tensorflow as tf

from kerascale.engine.compat import keras_private
from kerascale.engine.data.step_iterator import StepIterator
from kerascale.engine.execution.compiled_loop import CompiledSteps, NotCompiledError
from kerascale.engine.execution.modes import Mode
from kerascale.engine.execution.xla_program import Chunk, Part
from kerascale.engine.step.schedule_rates import Rates
from kerascale.engine.step.step import TrainStep

# What XLA raises while it compiles, before anything was run.
_NOT_COMPILED = (
    tf.errors.InvalidArgumentError,
    tf.errors.UnimplementedError,
    tf.errors.NotFoundError,
    tf.errors.InternalError,
)


class ProgramSteps(CompiledSteps):
    """A chunk of steps is one program, which gathers its batches itself.

    Args:
        execution: As of `CompiledSteps`.
        max_steps: The most that the program runs at once.
    """

    kind = "one_program"
    given_up = (
        "the steps of an execution are not compiled as one program, but run one after "
        "the other"
    )
    is_said_in_a_trial = True

    def __init__(self, execution: Any, max_steps: int) -> None:
        super().__init__(execution)
        self._max_steps = max_steps
        self._plain = TrainStep(self.model, execution.own)
        self._plain.jit_compile = False  # The whole is compiled.
        self._chunk = Chunk(
            self._step,
            lambda spec: self.logs.initial(spec, self._step),
            self.logs.of,
            Rates(self.model),
            max_steps,
        )
        self._is_looked_at = self._has_run = False
        # Not by XLA, which would take longer to compile it than it saves.
        self._on_smaller = tf.function(
            lambda batch: self.logs.of_one(lambda: self._step(batch)), autograph=False
        )

    def is_of_mode(self, mode: Mode) -> bool:
        return (mode.kind, mode.steps) == (self.kind, self._max_steps)

    def release(self) -> None:
        self._chunk.release()

    def problem(self, iterator: StepIterator) -> str | Exception | None:
        if self._is_looked_at:
            return None
        self._is_looked_at = True
        part = Part(iterator.batches, iterator.epoch, iterator.next_batch, 1)
        try:
            return self._chunk.problem(part)
        except Exception as error:  # Of a user's own code too: once more, in a loop.
            return error

    def run(
        self, iterator: StepIterator, first: int, steps: int
    ) -> tuple[dict[str, Any], tf.Tensor]:
        logs, losses = {}, []
        # More than one where `steps_per_execution` was raised since.
        for done in range(0, steps, self._max_steps):
            now = min(steps - done, self._max_steps)
            part = Part(iterator.batches, iterator.epoch, first + done, now)
            try:
                logs, values = self._chunk(part)
            except _NOT_COMPILED as error:
                if self._has_run:
                    raise
                raise NotCompiledError(str(error)) from error
            self._has_run = True
            losses.append(values[:now])
        return logs, tf.concat(losses, 0)

    def run_smaller(self, iterator: StepIterator, place: int) -> dict[str, Any]:
        # The iterator has not moved: the program does not read it.
        batch = self.execution.batch_of(iterator.batches)
        return self._on_smaller(batch(iterator.epoch, tf.constant(place, tf.int64)))

    def _step(self, batch: Any) -> dict[str, tf.Tensor]:
        self.execution.note_graph()
        batch = keras_private.as_single_steps_see(self.model, batch)
        return self.logs.carried(self._plain((batch, None)))
