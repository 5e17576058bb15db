"""Trained models that answer, and that no training changes."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from kerascale.compression.distillation.soft_targets import (
    at_least_float32,
    log_probabilities,
)
from kerascale.engine.compat import keras_private


class Teacher:
    """One or several trained models, of which only the numbers are kept.

    They are tensors, not variables: no optimizer, checkpoint or export of the student
    sees them, and nothing that a step does can change them. Layers are in inference
    mode: `BatchNormalization` uses its moving statistics and keeps them.

    Args:
        models: Built; each takes what the student takes.
        from_logits: Whether they return logits, not probabilities.
        numbers: Whether they return numbers, as a regression does.
    """

    def __init__(
        self,
        models: keras.Model | Sequence[keras.Model],
        *,
        from_logits: bool = False,
        numbers: bool = False,
    ) -> None:
        self.models = [models] if isinstance(models, keras.Model) else list(models)
        self.from_logits = from_logits
        self.numbers = numbers
        self._numbers = [
            [(v, tf.convert_to_tensor(v.value)) for v in model.variables]
            for model in self.models
        ]

    def __call__(self, x: Any) -> tf.Tensor:
        """The logarithms of its probabilities; of several models, of their mean.

        Args:
            x: A batch of inputs.

        Returns:
            Of shape (batch, ..., classes). Of numbers themselves, or their mean: of
            shape (batch, targets).
        """
        each = [
            self._answer(model, numbers, x)
            for model, numbers in zip(self.models, self._numbers, strict=True)
        ]
        if len(each) == 1:
            return each[0]
        if self.numbers:
            return ops.mean(ops.stack(each), axis=0)
        number = ops.cast(len(each), each[0].dtype)
        return ops.logsumexp(ops.stack(each), axis=0) - ops.log(number)

    def _answer(self, model: keras.Model, numbers: Any, x: Any) -> tf.Tensor:
        with keras.StatelessScope(state_mapping=numbers):
            outputs = keras_private.call(model, x, training=False)
        if self.numbers:
            return tf.stop_gradient(at_least_float32(outputs))
        answer = log_probabilities(outputs, from_logits=self.from_logits)
        return tf.stop_gradient(answer)

    def count_params(self) -> int:
        """Numbers of all models together."""
        return sum(model.count_params() for model in self.models)
