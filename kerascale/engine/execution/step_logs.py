"""What an execution returns beside the work: metrics, losses, and logs of a step."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from kerascale.engine.collectives import replicas, stop_votes
from kerascale.engine.step import step_loss
from kerascale.engine.step.own_logs import OwnLogs

# Among the logs of an execution, and taken out of them.
VOTES = "_kerascale_votes"
LOSSES = "_kerascale_losses"


class StepLogs:
    """The logs of the steps of a model.

    Args:
        model: Compiled.
        own: Sorts what a step returns, if it is a user's; None: it is the engine's,
            and metrics are all there is.
    """

    def __init__(self, model: keras.Model, own: OwnLogs | None) -> None:
        self._model = model
        self._strategy = model.distribute_strategy
        self._own = own

    def names(self) -> list[str]:
        """Those of the logs, as far as they are known."""
        if self._own is not None and self._own.names is not None:
            return self._own.names
        return list(self._model.get_metrics_result())

    def carried(self, logs: Any) -> dict[str, tf.Tensor]:
        """What a step returned of a user's own values, over all replicas."""
        if self._own is None or not isinstance(logs, dict):
            return {}
        if self._strategy.num_replicas_in_sync > 1 and logs:
            return {k: self._strategy.reduce("SUM", v, None) for k, v in logs.items()}
        return logs

    def initial(self, spec: Any, step: Callable[[Any], Any]) -> dict[str, tf.Tensor]:
        """Zeros for what a step carries to the next one.

        Args:
            spec: That of a batch.
            step: Returns what is carried.
        """
        if self._own is None:
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
        is_alone = replicas.num_workers(self._strategy) == 1
        with (
            stop_votes.collecting() as votes,
            step_loss.travelling(None if is_alone else losses) as over_all,
        ):
            logs = dict(self._model.get_metrics_result())
        if self._own is not None:
            logs = self._own.all(carried, logs)
        if losses is not None and (is_alone or over_all):
            logs[LOSSES] = losses if is_alone else over_all[0]
        return {**logs, VOTES: votes[0]} if votes else logs


def as_scalar(box: list[tf.Tensor]) -> tf.Tensor:
    """The loss of a step that has told it."""
    return tf.cast(box[-1], tf.float64)
