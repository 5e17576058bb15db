"""A chunk of steps as one program, with the rows gathered inside of it.

Nothing goes back to the host between two steps, so that what a step costs beside its
arithmetic is some microseconds.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from kerascale.datasets import nests
from kerascale.datasets.gathers import FromArrays
from kerascale.datasets.pipeline import Batches
from kerascale.engine.compat import tensorflow_private
from kerascale.engine.execution import kept_programs
from kerascale.engine.execution.pages_ahead import PagesAhead
from kerascale.engine.execution.rows_ahead import Part, RowsAhead, RowsOf
from kerascale.engine.step import step_loss
from kerascale.engine.step.schedule_rates import Ahead, Rates

Logs = dict[str, tf.Tensor]


class Chunk:
    """Compiles parts of epochs by XLA: one program for each shape of the data.

    Args:
        step: Runs one step on a batch, and returns what it carries to the next.
        initial: What is carried to the first one, given the spec of a batch.
        logs: What becomes of what the last one carries.
        rates: Those of the optimizer that steps have.
        max_steps: The most that a program runs at once.
    """

    def __init__(
        self,
        step: Callable[[Any], Logs],
        initial: Callable[[Any], Logs],
        logs: Callable[[Logs], Logs],
        rates: Rates,
        max_steps: int,
    ) -> None:
        self._step = step
        self._initial = initial
        self._logs = logs
        self._rates = rates
        self.max_steps = max_steps
        # Data that is in arrays is an argument: `fit` is called again, with others.
        self._of_arrays = _Program(self, FromArrays.rows)
        self._of_batches: _Program | None = None
        self._order: tuple[Batches, RowsOf] | None = None
        self._ahead_rows = RowsAhead()
        self._pages_ahead = PagesAhead()

    def release(self) -> None:
        """Lets go of the data of the last part, if it is in arrays."""
        self._ahead_rows.forget()
        if self._order is not None and isinstance(self._order[0].gather, FromArrays):
            self._order = None

    def problem(self, part: Part) -> str:
        """Why a part cannot be compiled; empty if it can."""
        program, arguments = self._call_of(part)
        ahead = tf.function(self.ahead, autograph=False).get_concrete_function()
        traced = program.loop.get_concrete_function(
            *arguments, ahead.structured_outputs
        )
        found = uncompilable(traced)
        return f"XLA has no kernel for {', '.join(found)}" if found else ""

    def ahead(self) -> Ahead:
        """Traces what a program is given of learning rates."""
        return self._rates.ahead(self.max_steps)

    def __call__(self, part: Part) -> tuple[Logs, tf.Tensor]:
        """Runs a part.

        Returns:
            Logs, and the loss of each step in a vector of `max_steps`; an empty one
            where a step does not tell it.
        """
        self._pages_ahead.begin(part)
        program, arguments = self._call_of(part)
        self._ahead_rows.begin(part, self._rows_of(part.batches))
        return program(*arguments)

    def _call_of(self, part: Part) -> tuple["_Program", Any]:
        batches = part.batches
        steps = tf.constant(part.steps, tf.int64)
        rows = self._ahead_rows.of(part, self._rows_of(batches))
        if isinstance(batches.gather, FromArrays):
            return self._of_arrays, (batches.gather.given, rows, part.epoch, steps)
        return self._of_batches, ((), rows, part.epoch, steps)

    def _rows_of(self, batches: Batches) -> RowsOf:
        """A function of epoch and first batch: what the program is given of the data.

        The order is computed in front of the program, of which XLA knows no kernel.
        So are batches that XLA cannot compute: images that are moved, for example.
        """
        if self._order is not None and self._order[0] is batches:
            return self._order[1]
        shape = [self.max_steps, batches.batch_size]
        inside = isinstance(batches.gather, FromArrays)
        if not inside:
            gather = tf.function(batches.gather, autograph=False)
            indices = tf.TensorSpec([batches.batch_size], tf.int64)
            traced = gather.get_concrete_function(indices, tf.TensorSpec([], tf.int64))
            inside = not uncompilable(traced)
            self._of_batches = _Program(
                self,
                (lambda _, indices, epoch: batches.gather(indices, epoch))
                if inside
                else None,
            )

        def rows(epoch: tf.Tensor, first: tf.Tensor) -> Any:
            indices = batches.indices_of(epoch, first, self.max_steps)
            if inside:
                return indices
            # At once, which is the same: a row is decided by its index.
            gathered = batches.gather(tf.reshape(indices, [-1]), epoch)
            return nests.map_present(
                lambda t: tf.reshape(t, [*shape, *t.shape[1:]]), gathered
            )

        # The order alone is quicker computed than traced, in each `fit` anew.
        is_quick = inside and batches.order == "full"
        made = RowsOf(rows if inside else tf.function(rows, autograph=False), is_quick)
        self._order = (batches, made)
        return self._order[1]


class _Program:
    """The program of a chunk.

    Args:
        chunk: Has the steps.
        gather: (arrays, indices, epoch) -> a batch; None: the rows are there.
    """

    def __init__(self, chunk: Chunk, gather: Callable[..., Any] | None) -> None:
        self._chunk = chunk
        self._gather = gather
        self.loop = tf.function(self._loop, autograph=False, jit_compile=True)
        self._run = tf.function(self._whole, autograph=False)

    def __call__(self, *arguments: Any) -> tuple[Logs, tf.Tensor]:
        return self._run(*arguments)

    def _whole(self, *arguments: Any) -> tuple[Logs, tf.Tensor]:
        carried, losses = self.loop(*arguments, self._chunk.ahead())
        return self._chunk._logs(carried), losses

    def _loop(
        self,
        arrays: Any,
        rows: Any,
        epoch: tf.Tensor,
        steps: tf.Tensor,
        ahead: Ahead,
    ) -> tuple[Logs, tf.Tensor]:
        kept_programs.stable_names()
        max_steps = self._chunk.max_steps
        has_losses = False
        places = tf.range(max_steps, dtype=tf.int64)

        def batch(i: tf.Tensor) -> Any:
            own = nests.map_present(lambda t: t[i], rows)
            return own if self._gather is None else self._gather(arrays, own, epoch)

        def body(i: tf.Tensor, losses: tf.Tensor, carried: Logs) -> Any:
            given = self._chunk._rates.given(ahead)
            with given, step_loss.collecting() as box:
                new = self._chunk._step(batch(i))
            if box:
                nonlocal has_losses
                has_losses = True
                loss = tf.cast(box[-1], losses.dtype)
                losses = tf.where(places == i, loss, losses)
            return i + 1, losses, new if carried else carried

        spec = nests.map_present(tf.TensorSpec.from_tensor, batch(tf.zeros_like(steps)))
        _, losses, carried = tf.while_loop(
            lambda i, *_: i < steps,
            body,
            [
                tf.zeros_like(steps),
                tf.zeros([max_steps], tf.float64),
                self._chunk._initial(spec),
            ],
            parallel_iterations=1,
        )
        return carried, losses if has_losses else losses[:0]


def uncompilable(traced: tf.types.experimental.ConcreteFunction) -> list[str]:
    """Operations of a function that XLA has no kernel for, by name.

    XLA itself says so when it compiles, or ends the process.
    """
    names = tensorflow_private.operations(traced)
    return sorted(name for name in names if not tensorflow_private.has_xla_kernel(name))
