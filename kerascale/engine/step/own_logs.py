"""The logs that a user's own step returns, as Keras would hand them on.

A value in them is the result of a metric, which belongs to all batches since metrics
were reset and to all replicas, or the user's own, which belongs to the batch. A name
does not tell: `{"loss": loss}` is a value of the batch under the name of a metric. So
the graph is asked whether a value was computed from a metric's state.
"""

from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf

from kerascale.engine.data import shard
from kerascale.errors import RefusedError


class OwnLogs:
    """Sorts the logs of the steps of a model.

    Args:
        model: Compiled. Its `train_step`, `test_step` or `compute_metrics` is a
            user's.
    """

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self._replicas = model.distribute_strategy.num_replicas_in_sync
        self._metric_names: set[str] | None = None
        # In their order; None: no step was traced, or it returned no dict.
        self.names: list[str] | None = None

    @property
    def metric_names(self) -> set[str]:
        """The names of all results. All workers call it for the first time."""
        if self._metric_names is None:
            self._metric_names = set(self._model.get_metrics_result())
        return self._metric_names

    def kept(self, logs: Any) -> dict[str, tf.Tensor]:
        """What a step's logs have beside the results of metrics.

        It is called where the step is traced, on each replica.

        Args:
            logs: What the step returned. A dict in it is taken for its members, as in
                `{m.name: m.result() for m in self.metrics}` of a guide of Keras, where
                the compiled metrics are one.

        Returns:
            Name -> value; of several replicas each value times the replica's share of
            the batch, so that their sum is the mean over the batch.

        Raises:
            RefusedError: On several replicas, if a value is computed from a metric's
                state and is no metric's result by its name.
        """
        if not isinstance(logs, dict):
            return {}
        flat: dict[str, Any] = {}
        for name, value in logs.items():
            flat |= value if isinstance(value, dict) else {name: value}
        self.names = list(flat)
        states = self._states()
        own = {}
        for name, value in flat.items():
            value = tf.convert_to_tensor(value)
            if not self._is_of_a_metric(name, value, states):
                own[name] = value
            elif name not in self.metric_names:
                self._refuse_unnamed(name)
                own[name] = value
        here = shard.current()
        if here is None:
            return own
        return {name: _weighted(value, here) for name, value in own.items()}

    def all(self, own: dict[str, Any], results: dict[str, Any]) -> dict[str, Any]:
        """The logs as the user's step has named them.

        Args:
            own: What `kept` gave, of all replicas.
            results: Of all metrics.
        """
        if self.names is None:
            return results
        return {n: own[n] if n in own else results[n] for n in self.names}

    def _is_of_a_metric(
        self, name: str, value: tf.Tensor, states: dict[int, tf.Tensor]
    ) -> bool:
        if not tf.is_symbolic_tensor(value):  # It runs eagerly: there is no graph.
            return name in self.metric_names
        return _reads(value, states)

    def _states(self) -> dict[int, tf.Tensor]:
        """The handles of all variables of metrics on this process's replicas."""
        strategy = self._model.distribute_strategy
        handles = [
            component.handle
            for metric in self._model.metrics
            for variable in metric.variables
            for component in strategy.experimental_local_results(variable.value)
            if hasattr(component, "handle")
        ]
        # With the handles: an id is that of an object which is there.
        return {id(handle): handle for handle in handles}

    def _refuse_unnamed(self, name: str) -> None:
        if self._replicas > 1:
            raise RefusedError(
                f"the step's log {name!r}: expected a metric's result under the name "
                "of that metric, or a value of the batch. Received: a value that is "
                "computed from a metric's state, of which each replica has a part. "
                f"Give the metric the name {name!r}, or log the value of the batch."
            )


def _weighted(value: tf.Tensor, here: shard.Shard) -> tf.Tensor:
    if not value.dtype.is_floating:
        value = tf.cast(value, keras.config.floatx())
    # An empty slice may have a mean of nothing.
    return tf.math.multiply_no_nan(value, here.share(value.dtype))


def _reads(value: tf.Tensor, states: dict[int, tf.Tensor]) -> bool:
    """Whether a value is computed from what is read of one of the variables."""
    seen: set[int] = set()
    left: list[tf.Tensor] = [value]
    captured = {id(inside): outside for outside, inside in _captures(value.graph)}
    while left:
        tensor = left.pop()
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        outside = captured.get(id(tensor))
        while outside is not None and tf.is_symbolic_tensor(outside):
            further = {id(i): o for o, i in _captures(outside.graph)}
            outside = further.get(id(outside))
        if outside is not None and id(outside) in states:
            return True
        left += tensor.op.inputs
    return False


def _captures(graph: Any) -> Iterable[tuple[tf.Tensor, tf.Tensor]]:
    """(outside, inside) of what a function's graph takes from around it."""
    return getattr(graph, "captures", ())
