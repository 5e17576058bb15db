"""Records weights, loss and metrics after every step."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascale.diagnostics.verify.records import COUNT, LOG, Record
from kerascale.engine.compat import keras_private

# Metrics that count examples: two classes that are equally likely but for rounding
# may be told apart otherwise.
_COUNTING = (
    keras.metrics.Accuracy,
    keras.metrics.BinaryAccuracy,
    keras.metrics.CategoricalAccuracy,
    keras.metrics.SparseCategoricalAccuracy,
    keras.metrics.SparseTopKCategoricalAccuracy,
    keras.metrics.TopKCategoricalAccuracy,
)


class Recorder(keras.callbacks.Callback):
    """Writes a file at the beginning, and after every step that `fit` reports.

    Args:
        record: Where to.
        steps: Steps in all.
        strategy: That of the model.
    """

    def __init__(
        self, record: Record, steps: int, strategy: tf.distribute.Strategy
    ) -> None:
        super().__init__()
        self._record = record
        self._steps = steps
        self._strategy = strategy

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        # Others are built by the first step.
        if all(layer.built for layer in keras_private.all_layers(self.model)):
            self._record.write_step(0, self._weights())

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        arrays = self._weights()
        for name, value in (logs or {}).items():
            arrays[LOG + name] = np.asarray(keras.ops.convert_to_numpy(value))
            count = self._count(name)
            if count is not None:
                arrays[COUNT + name] = count
        # With `steps_per_execution` Keras counts a last execution as a whole one.
        self._record.write_step(min(batch + 1, self._steps), arrays)

    def _weights(self) -> dict[str, np.ndarray]:
        arrays = {}
        for i, variable in enumerate(self.model.weights):
            if variable.dtype == "string":
                continue
            copies = [
                copy.numpy()
                for copy in self._strategy.experimental_local_results(variable.value)
            ]
            arrays[str(i)] = copies[0]
            for device, copy in enumerate(copies[1:], 1):
                # Equal to the last bit, as long as replicas apply one gradient.
                if not np.array_equal(copies[0], copy, equal_nan=True):
                    arrays[f"{i}/{device}"] = copy
        return arrays

    def _count(self, name: str) -> np.ndarray | None:
        """What a counting metric of one device has seen: its weights' sum."""
        if self._strategy.num_replicas_in_sync > 1:
            return None
        for metric in _flat(self.model.metrics):
            named = metric.name == name or name.endswith(f"_{metric.name}")
            if named and isinstance(metric, _COUNTING):
                return np.asarray(metric.count)
        return None


def _flat(metrics: list[Any]) -> list[keras.metrics.Metric]:
    """Metrics, with those that were given to `compile` in place of their container."""
    return [m for metric in metrics for m in getattr(metric, "metrics", [metric])]
