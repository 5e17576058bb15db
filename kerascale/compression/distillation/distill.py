"""`distill`: lets a model learn from a teacher, with plain `model.fit`.

Keras has a `keras.distillation.Distiller`. It is not used: in Keras 3.15.1 it leaves
out the student's regularization losses and sample weights, evaluates a student with
features in training mode, has the teacher's weights in its own checkpoints and files,
and its losses are means over a replica's slice of the batch.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from kerascale.compression.distillation.soft_targets import SoftTargets
from kerascale.compression.distillation.teacher import Teacher
from kerascale.engine.compat import keras_private
from kerascale.engine.data import shard
from kerascale.engine.scaling import scale_as_told
from kerascale.engine.step.losses import GlobalLoss
from kerascale.errors import RefusedError

# The members of labels that come with a teacher's answers.
LABELS, ANSWERS = "labels", "teacher_log_probabilities"
# An attribute of the student.
_LESSON = "_kerascale_lesson"


def distill(
    student: keras.Model,
    teacher: Teacher | keras.Model | Sequence[keras.Model] | None,
    *,
    temperature: float = 3.0,
    alpha: float = 0.7,
    from_logits: bool = False,
) -> keras.Model:
    """Lets a model learn from a teacher's probabilities beside its labels, in place.

    In training its loss becomes (1 - alpha) * loss + alpha * T^2 * KL(teacher ||
    student), plus its regularization as it is; see `SoftTargets`. In validation and
    `evaluate` it stays the plain loss. What `model.save` writes is the student alone,
    as a plain Keras model.

    Args:
        student: A Functional, Sequential or subclassed model with one output of shape
            (batch, ..., classes). It gets the step engine; see `kerascale.scale`.
        teacher: A trained model, or several, whose probabilities are averaged. None:
            its answers come with the labels, which are then
            `{"labels": y, "teacher_log_probabilities": answers}`.
        temperature: What logits are divided by.
        alpha: Weight of the teacher's answers, from 0 to 1.
        from_logits: Whether the student returns logits, not probabilities; and so its
            teacher, if it is no `Teacher`.

    Returns:
        The same object.

    Raises:
        RefusedError: If an argument is wrong, or the model has a training step of its
            own, whose loss cannot be found.

    Example:

    ```python
    student = distill(student, teacher, temperature=4.0)
    student.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    student.fit(x, y, epochs=5)
    ```
    """
    _refuse_wrong(temperature, alpha)
    if teacher is not None and not isinstance(teacher, Teacher):
        teacher = Teacher(teacher, from_logits=from_logits)
    scale_as_told(student)
    if not student.has_default_train_step:
        raise RefusedError(
            "distill: expected a model with Keras' own training step. Received: "
            f"{type(student).__name__}, which overrides train_step. Put its loss into "
            "compute_loss()."
        )
    keras_private.adopt_class(student, Distilled)
    loss = GlobalLoss(SoftTargets(temperature, from_logits=from_logits))
    # Past Keras' own __setattr__, which would track it.
    vars(student)[_LESSON] = _Lesson(teacher, loss, alpha)
    # Those that were made before know nothing of a teacher.
    student.train_function = student.test_function = None
    return student


def with_answers(y: Any, answers: Any) -> dict[str, Any]:
    """Labels that a teacher's answers come with."""
    return {LABELS: y, ANSWERS: answers}


@dataclasses.dataclass(frozen=True)
class _Lesson:
    """What a student learns from, beside its labels."""

    teacher: Teacher | None
    loss: GlobalLoss
    alpha: float

    def answers(self, x: Any, y: Any) -> Any:
        if _has_answers(y):
            return y[ANSWERS]
        if self.teacher is None:
            raise RefusedError(
                "distill: expected a teacher, or its answers with the labels. "
                "Received: neither. Pass y as {'labels': y, "
                "'teacher_log_probabilities': answers}."
            )
        return self.teacher(x)


class Distilled:
    """Put in front of a student's class: its loss in training."""

    def metric_labels(self, y: Any, sample_weight: Any) -> tuple[Any, Any]:
        """The labels alone."""
        return super().metric_labels(*_without_answers(y, sample_weight))

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        labels, sample_weight = _without_answers(y, sample_weight)
        loss = super().compute_loss(x, labels, y_pred, sample_weight, training=training)
        if not training:
            return loss
        lesson = vars(self)[_LESSON]
        answers = lesson.answers(x, y)
        _refuse_other_shape(answers, y_pred)
        soft = lesson.loss(answers, y_pred, sample_weight)
        here = shard.current()
        if here is not None:
            # From a share of the whole to a mean over the slice, as the other loss.
            soft *= tf.math.divide_no_nan(
                tf.cast(here.size, soft.dtype), tf.cast(here.count, soft.dtype)
            )
        # They count as they are, beside both.
        added = [tf.cast(tf.reduce_sum(added), loss.dtype) for added in self.losses]
        soft = tf.cast(soft, loss.dtype) + sum(added, tf.zeros((), loss.dtype))
        return (1 - lesson.alpha) * loss + lesson.alpha * soft

    # So that the compiled loss is known to be used.
    default_compute_loss = compute_loss


def _has_answers(y: Any) -> bool:
    return isinstance(y, dict) and ANSWERS in y


def _without_answers(y: Any, sample_weight: Any) -> tuple[Any, Any]:
    if not _has_answers(y):
        return y, sample_weight
    # Keras' `fit` gives every member of the labels the same weights.
    if isinstance(sample_weight, dict):
        sample_weight = sample_weight[LABELS]
    return y[LABELS], sample_weight


def _refuse_wrong(temperature: float, alpha: float) -> None:
    problems = []
    if not 0 < temperature < float("inf"):
        problems.append(
            f"temperature: expected a finite number > 0. Received: {temperature!r}"
        )
    if not 0 <= alpha <= 1:
        problems.append(f"alpha: expected a number from 0 to 1. Received: {alpha!r}")
    if problems:
        raise RefusedError(problems, heading="distill")


def _refuse_other_shape(answers: Any, y_pred: Any) -> None:
    if not hasattr(y_pred, "shape"):
        raise RefusedError(
            "distill: expected a student with one output. Received: outputs "
            f"{keras.tree.map_structure(lambda t: t.shape, y_pred)}."
        )
    expected, received = y_pred.shape[1:], answers.shape[1:]
    if not expected.is_compatible_with(received):
        raise RefusedError(
            "distill: expected a teacher that answers as the student does, with the "
            f"shape {_shape(expected)}. Received: {_shape(received)}. Train a teacher "
            "on the same classes."
        )
    if expected[-1] == 1:
        raise RefusedError(
            "distill: expected probabilities of at least two classes. Received: one "
            "output. Give the models a softmax over two classes."
        )


def _shape(sizes: tf.TensorShape) -> str:
    return f"({', '.join(['batch', *map(str, sizes)])})"
