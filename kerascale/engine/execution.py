"""Many steps in one compiled function: what `fit` and `evaluate` call."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from kerascale.console import say
from kerascale.engine import control, place, prepare, reduce, replicas, slices
from kerascale.engine.feed import StepIterator
from kerascale.engine.step import TrainStep

# Takes what `strategy.run` takes for one batch, returns logs for each replica.
Step = Callable[[Any], Any]


# Among the logs of an execution, and taken out of them.
_WISHES = "_kerascale_wishes"


class Execution:
    """Runs steps of an iterator, and returns the logs of the last.

    Args:
        model: Compiled.
        step: One step, in cross-replica context.
        custom: Whether the logs of the step are those of a user's own step.
    """

    def __init__(self, model: keras.Model, step: Step, custom: bool) -> None:
        self.model = model
        self.strategy = model.distribute_strategy
        self.num_replicas = self.strategy.num_replicas_in_sync
        self.step = step
        self.custom = custom
        # None: elements are plain batches.
        self.ids: list[int] | None = None
        if replicas.is_distributed(self.strategy):
            self.ids = replicas.local_ids(self.strategy)
        self._metric_names: set[str] | None = None
        self._make()

    def _make(self) -> None:
        graph = not self.model.run_eagerly
        self._on_batch = self._one
        self._next = self._one_of
        self._steps = self._known
        self._until_end = self._unknown
        if graph:
            wrap = tf.function(autograph=False, reduce_retracing=True)
            self._on_batch = wrap(self._one)
            self._next = wrap(self._one_of)
            self._steps = wrap(self._known)
            self._until_end = wrap(self._unknown)

    def __call__(self, iterator: Any) -> dict[str, Any]:
        if self.custom and self.num_replicas > 1:
            self._names()  # Outside of the graph: it is a message to all workers.
        function, *arguments = self._next_call(iterator)
        if function is None:  # Steps that were done before: Keras asks for names.
            return dict.fromkeys(self._names(), 0.0)
        try:
            logs = getattr(self, function)(*arguments)
        except reduce.CommunicatesInside:  # While it was traced: nothing was read.
            self._do_not_compile()
            logs = getattr(self, function)(*arguments)
        except tf.errors.OutOfRangeError as error:
            raise RuntimeError(
                "data: expected as many batches as steps were asked for, or as the "
                "dataset says that it has. Received: fewer. Repeat the data "
                "(dataset.repeat()), or ask for fewer steps."
            ) from error
        if function == "_until_end":
            logs, num_steps = logs
            if int(num_steps) == 0:
                raise StopIteration
        if _WISHES in logs:
            control.heard(logs.pop(_WISHES))
        return logs

    def _names(self) -> set[str]:
        if self._metric_names is None:
            self._metric_names = set(self.model.get_metrics_result())
        return self._metric_names

    def _next_call(self, iterator: Any) -> tuple[Any, ...]:
        """Which of the functions to call, and with what."""
        if isinstance(iterator, tf.data.Iterator):  # Of a generator, say.
            iterator = StepIterator(iterator, None, None)
        if not isinstance(iterator, StepIterator):  # Of `train_on_batch`.
            batch = next(iter(iterator))
            if self.ids is not None:
                batch = keras.utils.pack_x_y_sample_weight(*batch)
                batch = tf.nest.map_structure(tf.convert_to_tensor, batch)
                batch = slices.cut(batch, self.ids, self.num_replicas)
            return "_on_batch", batch
        steps = iterator.take(self.model.steps_per_execution)
        if steps is None:
            return "_until_end", iterator.iterator
        if steps == 0:
            return (None,)
        if steps == 1:
            return "_next", iterator.iterator
        return "_steps", iterator.iterator, tf.constant(steps, tf.int64)

    def _do_not_compile(self) -> None:
        say(
            "jit_compile: the step is not compiled by XLA, because it communicates "
            "with other replicas inside (batch statistics, or a masked or weighted "
            "loss)."
        )
        self.step.jit_compile = False
        self._make()

    # ------------------------------------------------------------------- graphs

    def _one(self, batch: Any) -> dict[str, Any]:
        return self._logs(self._carried(self._run(batch)))

    def _one_of(self, iterator: tf.data.Iterator) -> dict[str, Any]:
        return self._one(iterator.get_next())

    def _known(self, iterator: tf.data.Iterator, steps: tf.Tensor) -> dict[str, Any]:
        def body(i: tf.Tensor, logs: Any) -> tuple[tf.Tensor, Any]:
            new = self._carried(self._run(iterator.get_next()))
            return i + 1, new if logs else logs

        _, logs = tf.while_loop(
            lambda i, _: i < steps,
            body,
            [tf.zeros_like(steps), self._initial(iterator)],
            parallel_iterations=1,
        )
        return self._logs(logs)

    def _unknown(self, iterator: tf.data.Iterator) -> tuple[dict[str, Any], tf.Tensor]:
        limit = self.model.steps_per_execution

        def body(i: tf.Tensor, batch: Any, logs: Any) -> tuple[tf.Tensor, Any, Any]:
            new = self._carried(self._run(batch.get_value()))
            following = tf.cond(
                i + 1 < limit,
                iterator.get_next_as_optional,
                lambda: tf.experimental.Optional.empty(iterator.element_spec),
            )
            return i + 1, following, new if logs else logs

        num, _, logs = tf.while_loop(
            lambda i, batch, _: batch.has_value(),
            body,
            [
                tf.constant(0),
                iterator.get_next_as_optional(),
                self._initial(iterator),
            ],
            parallel_iterations=1,
        )
        return self._logs(logs), num

    def _run(self, batch: Any) -> Any:
        """One step on an element of the feed."""
        if self.ids is None:
            item = (batch, None)
        else:
            item = replicas.per_replica(self.strategy, self.ids, batch)
        return self.step(item)

    # --------------------------------------------------------------------- logs

    def _carried(self, logs: Any) -> dict[str, tf.Tensor]:
        """Logs of a user's own step that are no metrics, over all replicas."""
        if not self.custom or not isinstance(logs, dict):
            return {}
        # Of a guide of Keras: `{m.name: m.result() for m in self.metrics}`, in which
        # the compiled ones are a dict of their own.
        flat = {}
        for name, value in logs.items():
            flat |= value if isinstance(value, dict) else {name: value}
        logs = {name: v for name, v in flat.items() if name not in self._names()}
        if self.num_replicas > 1 and logs:
            logs = {k: self.strategy.reduce("MEAN", v, None) for k, v in logs.items()}
        return {name: tf.convert_to_tensor(v) for name, v in logs.items()}

    def _initial(self, iterator: tf.data.Iterator) -> dict[str, tf.Tensor]:
        if not self.custom:
            return {}
        # What the step returns is known once it has been traced.
        traced = tf.function(
            lambda batch: self._carried(self._run(batch)), autograph=False
        ).get_concrete_function(iterator.element_spec)
        return {
            name: tf.zeros(spec.shape, spec.dtype)
            for name, spec in traced.structured_outputs.items()
        }

    def _logs(self, carried: dict[str, Any]) -> dict[str, Any]:
        with control.collecting() as wishes:
            logs = {**self.model.get_metrics_result(), **carried}
        return {**logs, _WISHES: wishes[0]} if wishes else logs


def train(model: keras.Model, custom: bool) -> Execution:
    """The function that `fit` calls for an execution."""
    return Execution(model, TrainStep(model, custom), custom)


def test(model: keras.Model, custom: bool) -> Execution:
    """The function that `evaluate` calls for an execution."""
    strategy = model.distribute_strategy
    num_replicas = strategy.num_replicas_in_sync

    def one(item: Any) -> Any:
        data, where = item
        here = place.of(where, num_replicas)
        with place.at(here), prepare.only_if_counted(model):
            return model.test_step(data)

    return Execution(model, lambda item: replicas.run(strategy, one, item), custom)
