"""`evaluate` of arrays on one device: many batches in one call, some beside each other.

What a batch adds to the metrics is computed by itself, and added in the order of the
batches: results are those of one batch after the other, to the last bit.
"""

from typing import Any

import keras
import tensorflow as tf

from kerascale.datasets.gathers import FromArrays
from kerascale.engine.compat import keras_private
from kerascale.engine.data.step_iterator import StepIterator
from kerascale.engine.execution import beside, own_traces
from kerascale.engine.execution.pages_ahead import PagesAhead
from kerascale.engine.execution.rows_ahead import Part
from kerascale.engine.step import build, metrics

# Where its metrics come from, their variables are sums.
_MODULES = ("keras.", "keras_hub.", "kerascale.")


class _HasStateError(Exception):
    """A test step writes something beside sums of metrics."""


class TestSteps:
    """Executes test steps.

    Args:
        execution: What it is a part of.
    """

    kind = "loop"

    def __init__(self, execution: Any) -> None:
        self._execution = execution
        self._model = execution.model
        self._run = own_traces.graph(self._all)
        self._pages_ahead = PagesAhead()

    def __call__(self, iterator: StepIterator) -> dict[str, Any] | None:
        """The logs of an execution; None, and nothing is done, if it cannot be."""
        batches = iterator.batches
        if batches is None or not isinstance(batches.gather, FromArrays):
            return None
        first = iterator.next_batch
        if not self._is_ready(batches.element_spec):
            self._execution.give_up_silently()
            return None
        variables = metrics.variables_of(self._model)
        if not variables or batches.shuffle or iterator.has_begun:
            return None
        steps = iterator.take(self._model.steps_per_execution)
        if not steps:
            return dict.fromkeys(self._execution.logs.names(), 0.0)
        self._pages_ahead.begin(Part(batches, iterator.epoch, first, steps))
        numbers = (first, first + steps, batches.batch_size, batches.num_examples)
        try:
            sums = self._run(
                batches.gather.given, *(tf.constant(n, tf.int64) for n in numbers)
            )
        except _HasStateError:  # While it was traced: nothing was run.
            self._execution.give_up_silently()
            return self._execution.steps_of(iterator, steps)
        for variable, value in zip(variables, sums, strict=True):
            variable.assign(value)
        return dict(self._model.get_metrics_result())

    def _is_ready(self, spec: Any) -> bool:
        """Whether all is built, for a loop can make no variable, and sums suffice."""
        try:
            build.build(self._model, spec)
        except Exception:  # Keras builds it with the first batch, or says why not.
            return False
        return all(
            type(metric).__module__.startswith(_MODULES)
            for metric in keras_private.all_metrics(self._model)
        )

    def is_of_mode(self, mode: Any) -> bool:
        """Whether it executes so already."""
        return mode.kind == self.kind

    def release(self) -> None:
        """Lets go of data in arrays: it holds none."""

    def _all(
        self,
        given: Any,
        first: tf.Tensor,
        end: tf.Tensor,
        batch_size: tf.Tensor,
        rows: tf.Tensor,
    ) -> list[tf.Tensor]:
        """What the variables of metrics are after so many batches."""
        variables = metrics.variables_of(self._model)
        zeros = [(v, tf.zeros(v.shape, v.dtype)) for v in variables]

        def added(number: tf.Tensor) -> list[tf.Tensor]:
            batch = beside.examples(given, number, batch_size, rows)
            with keras_private.Aside(zeros) as scope:
                self._model.test_step(batch)
            if beside.writes(self._model, scope, besides=variables):
                raise _HasStateError
            return [scope.get_current_value(v) for v in variables]

        steps = tf.cast(end - first, tf.int32)
        found = beside.compute(
            added,
            (first, end),
            [tf.TensorArray(v.dtype, steps, element_shape=v.shape) for v in variables],
        )

        def add(place: tf.Tensor, *sums: tf.Tensor) -> Any:
            return (
                place + 1,
                *(s + a.read(place) for s, a in zip(sums, found, strict=True)),
            )

        _, *sums = tf.while_loop(
            lambda place, *_: place < steps,
            add,
            (tf.constant(0), *(tf.convert_to_tensor(v.value) for v in variables)),
            parallel_iterations=1,
        )
        return sums


def can_be(model: keras.Model) -> bool:
    """Whether a model's test steps may be sums of what each batch adds."""
    is_default = model.has_default_test_step and model.has_default_metrics
    return is_default and not model.run_eagerly and not model.jit_compile
