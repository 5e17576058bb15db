"""Steps in a loop on several replicas, where XLA compiles what each computes.

What a replica computes of its slice is one program, and the update another. Between the
two the gradients of all are summed, as in single steps: XLA has no part in that.
"""

from typing import Any

import tensorflow as tf

from kerascale.datasets import nests
from kerascale.engine.collectives import all_reduce
from kerascale.engine.compat import keras_private, tensorflow_private
from kerascale.engine.data import shard
from kerascale.engine.data.step_iterator import StepIterator
from kerascale.engine.execution import first_batch, kept_programs
from kerascale.engine.execution.compiled_loop import CompiledSteps
from kerascale.engine.execution.row_loops import RowLoops
from kerascale.engine.execution.step_logs import LOSSES
from kerascale.engine.step.step import TrainStep

_COMMUNICATES = (
    "it communicates with other replicas inside (batch statistics, a masked or "
    "weighted loss, or a step of your own that updates where it says so)"
)


class CompiledReplicas(CompiledSteps):
    """A loop of steps, each replica's part of which is compiled."""

    kind = "compiled"
    given_up = "what a replica computes in a step is not compiled by XLA"
    is_said_in_a_trial = False

    def __init__(self, execution: Any) -> None:
        super().__init__(execution)
        self._step = TrainStep(self.model, execution.own)
        self._step.jit_compile = self._step.shares_update = True
        # Of which size of batch the loop is known to be right.
        self._batch_size: int | None = None
        self._make()

    def __call__(self, iterator: StepIterator) -> dict[str, Any] | None:
        batches = iterator.batches
        if batches is not None and not batches.num_whole_batches:
            # There is no full batch, and what there is is to be shown first.
            self.execution.give_up_silently()
            return None
        return super().__call__(iterator)

    def release(self) -> None:
        pass  # It has none.

    def problem(self, iterator: StepIterator) -> str | Exception | None:
        size = iterator.batches.batch_size
        if self._batch_size == size:
            return None
        self._batch_size = size
        if size < self.execution.num_replicas:
            return "a batch has fewer examples than there are replicas"
        kept_programs.stable_names()
        if self._step.is_custom:  # What is shown decides how it is traced.
            first_batch.show_place(self.execution, iterator, None)
            self._step.updates_inside = self.execution.train_step.updates_inside
            if self._step.updates_inside:
                return _COMMUNICATES
        trace = lambda: self._traced(iterator)  # noqa: E731
        try:
            found = tensorflow_private.operations_of_xla(trace())
        except all_reduce.CommunicatesInside:
            return _COMMUNICATES
        names = sorted(n for n in found if not tensorflow_private.has_xla_kernel(n))
        if names:
            return f"XLA has no kernel for {', '.join(names)}"
        if first_batch.show_place(self.execution, iterator, trace):
            # Losses count their values otherwise now, perhaps with messages.
            self._make()
            self._batch_size = None
            return self.problem(iterator)
        return None

    def run(
        self, iterator: StepIterator, first: int, steps: int
    ) -> tuple[dict[str, Any], tf.Tensor]:
        try:
            if self._rows.can_be(iterator):
                logs = self._rows.run(iterator, first, steps)
            else:  # The iterator is there.
                logs = self._loop(iterator.iterator, tf.constant(steps, tf.int64))
        except Exception:
            self._step.end_within_a_loop()
            raise
        return logs, logs.pop(LOSSES, tf.zeros([0], tf.float64))

    def run_smaller(self, iterator: StepIterator, place: int) -> dict[str, Any]:
        if self._rows.can_be(iterator):
            return self._rows.run_smaller(iterator, place)
        return self.execution.step_of(iterator)

    def _make(self) -> None:
        self._loop = self.execution.graph(self._in_a_loop)
        self._rows = RowLoops(self.execution, self._one, self._step.hand_over)

    def _traced(self, iterator: StepIterator) -> Any:
        if self._rows.can_be(iterator):
            return self._rows.traced(iterator)
        one = tf.constant(1, tf.int64)
        return self._loop.get_concrete_function(iterator.iterator, one)

    def _in_a_loop(self, iterator: tf.data.Iterator, steps: tf.Tensor) -> Any:
        logs = self.execution.in_a_loop(iterator, steps, run=self._one)
        self._step.hand_over()
        return logs

    def _one(self, batch: Any) -> Any:
        return self._step(self.execution.item_of(self._full(batch)))

    def _full(self, batch: Any) -> Any:
        """An element of the feed that is known to be of a full batch."""
        ids = self.execution.ids
        if ids is None:
            return self._of_rows(batch, self._batch_size)
        items = []
        for replica, (data, where) in zip(ids, batch, strict=True):
            if where.shape == [3]:  # Else slices are filled up to one shape.
                with tf.init_scope():
                    size = tf.constant(self._batch_size, tf.int64)
                    bounds = shard.bounds(size, replica, self.execution.num_replicas)
                    offset, count = map(int, bounds)
                data = self._of_rows(data, count)
                where = tf.constant([self._batch_size, offset, count], tf.int64)
            items.append((data, where))
        return tuple(items)

    def _of_rows(self, data: Any, rows: int) -> Any:
        for tensor in nests.flat(data):
            if isinstance(tensor, tf.Tensor):
                tensor.set_shape([rows, *tensor.shape[1:]])
        return keras_private.as_single_steps_see(self.model, data)
