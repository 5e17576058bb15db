"""The loss of a student that learns from its teacher's probabilities."""

from typing import Any

import keras
from keras import ops

from kerascale.engine.compat import keras_private


def log_probabilities(outputs: Any, *, from_logits: bool = False) -> Any:
    """The logarithms of a model's probabilities, in float32 or float64.

    Args:
        outputs: Probabilities of shape (batch, ..., classes), or logits.
        from_logits: Whether they are logits.
    """
    # Those in front of a softmax have digits that probabilities near 0 lack.
    logits = outputs if from_logits else keras_private.logits_of(outputs)
    if logits is None:
        smallest = keras.config.epsilon() ** 4
        return ops.log(ops.maximum(at_least_float32(outputs), smallest))
    return ops.log_softmax(at_least_float32(logits), axis=-1)


def at_least_float32(tensor: Any) -> Any:
    """The same; half precision as float32."""
    if keras.backend.standardize_dtype(tensor.dtype) == "float64":
        return tensor
    return ops.cast(tensor, "float32")


class SoftTargets(keras.losses.Loss):
    """T^2 * KL(teacher || student), both at temperature T.

    From Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network",
    section 2: the gradients of soft targets shrink by 1 / T^2, which T^2 makes up for.
    What they minimise, the cross-entropy with the teacher's answers, differs from it by
    what the student does not change.

    Args:
        temperature: T, which logits are divided by.
        from_logits: Whether the student gives logits, not probabilities.

    Call arguments:
        y_true: Logarithms of the teacher's probabilities, (batch, ..., classes).
        y_pred: What the student returns, of the same shape.

    Returns:
        A value for each row and position: of shape (batch, ...).
    """

    def __init__(self, temperature: float, *, from_logits: bool = False) -> None:
        super().__init__(name="soft_targets")
        self.temperature = temperature
        self.from_logits = from_logits

    def call(self, y_true: Any, y_pred: Any) -> Any:
        student = log_probabilities(y_pred, from_logits=self.from_logits)
        # What is no logits is normalised again: both are shifted by a constant.
        student = ops.log_softmax(student / self.temperature, axis=-1)
        teacher = ops.cast(y_true, student.dtype) / self.temperature
        teacher = ops.log_softmax(teacher, axis=-1)
        each = ops.exp(teacher) * (teacher - student)
        return self.temperature**2 * ops.sum(each, axis=-1)
