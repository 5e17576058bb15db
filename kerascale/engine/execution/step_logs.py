"""What an execution returns beside the work: metrics, losses, and logs of a step."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from kerascale.engine.collectives import stop_votes
from kerascale.engine.step import step_loss

# Among the logs of an execution, and taken out of them.
VOTES = "_kerascale_votes"
LOSSES = "_kerascale_losses"


class StepLogs:
    """The logs of the steps of a model.

    Args:
        model: Compiled.
        custom: Whether a step returns logs of its own: it is a user's.
    """

    def __init__(self, model: keras.Model, custom: bool) -> None:
        self._model = model
        self._strategy = model.distribute_strategy
        self._custom = custom
        self._metric_names: set[str] | None = None

    def names(self) -> set[str]:
        """The names of all metrics. All workers call it for the first time."""
        if self._metric_names is None:
            self._metric_names = set(self._model.get_metrics_result())
        return self._metric_names

    def carried(self, logs: Any) -> dict[str, tf.Tensor]:
        """Logs of a user's own step that are no metrics, over all replicas."""
        if not self._custom or not isinstance(logs, dict):
            return {}
        # Of a guide of Keras: `{m.name: m.result() for m in self.metrics}`, in which
        # the compiled ones are a dict of their own.
        flat = {}
        for name, value in logs.items():
            flat |= value if isinstance(value, dict) else {name: value}
        logs = {name: v for name, v in flat.items() if name not in self.names()}
        if self._strategy.num_replicas_in_sync > 1 and logs:
            logs = {k: self._strategy.reduce("MEAN", v, None) for k, v in logs.items()}
        return {name: tf.convert_to_tensor(v) for name, v in logs.items()}

    def initial(self, spec: Any, step: Callable[[Any], Any]) -> dict[str, tf.Tensor]:
        """Zeros for what a step carries to the next one.

        Args:
            spec: That of a batch.
            step: Returns what is carried.
        """
        if not self._custom:
            return {}
        # What the step returns is known once it has been traced.
        traced = tf.function(step, autograph=False).get_concrete_function(spec)
        return {
            name: tf.zeros(spec.shape, spec.dtype)
            for name, spec in traced.structured_outputs.items()
        }

    def of_one(self, step: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Runs one step, which returns what it carries; its logs."""
        with step_loss.collecting() as box:
            carried = step()
        return self.of(carried, as_scalar(box)[None] if box else None)

    def of(
        self, carried: dict[str, Any], losses: tf.Tensor | None = None
    ) -> dict[str, Any]:
        """The logs after a last step.

        Args:
            carried: By that step.
            losses: Of all steps; None: they are not known.
        """
        with stop_votes.collecting() as votes:
            logs = {**self._model.get_metrics_result(), **carried}
        if losses is not None:
            logs[LOSSES] = losses
        return {**logs, VOTES: votes[0]} if votes else logs


def as_scalar(box: list[tf.Tensor]) -> tf.Tensor:
    """The loss of a step that has told it."""
    return tf.cast(box[-1], tf.float64)
