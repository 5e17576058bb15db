"""`distill`: lets a model learn from a teacher, with plain `model.fit`.

Keras has a `keras.distillation.Distiller`. It is not used: in Keras 3.15.1 it leaves
out the student's regularization losses and sample weights, evaluates a student with
features in training mode, has the teacher's weights in its own checkpoints and files,
and its losses are means over a replica's slice of the batch.
"""

import contextlib
import dataclasses
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from kerascale.compression.distillation import refusals, seen
from kerascale.compression.distillation.hints import (
    Hint,
    Pair,
    projections,
    remove_projections,
    resolve,
)
from kerascale.compression.distillation.seen import Given
from kerascale.compression.distillation.soft_targets import SoftTargets
from kerascale.compression.distillation.teacher import Teacher
from kerascale.compression.plain_saving import PlainSaving, with_new_optimizer
from kerascale.engine.compat import keras_private
from kerascale.engine.data import shard
from kerascale.engine.scaling import scale_as_told
from kerascale.engine.step.losses import GlobalLoss
from kerascale.errors import RefusedError

# The members of labels that come with a teacher's answers.
LABELS, ANSWERS = "labels", "teacher_log_probabilities"
# An attribute of the student.
_LESSON = "_kerascale_lesson"
# Of each thread, as replicas are traced in threads of their own.
_here = threading.local()


def distill(
    student: keras.Model,
    teacher: Teacher | keras.Model | Sequence[keras.Model] | None,
    *,
    temperature: float = 3.0,
    alpha: float = 0.7,
    from_logits: bool = False,
    hints: Sequence[Hint] = (),
    inputs: Any = None,
    numbers_loss: keras.losses.Loss | None = None,
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
        hints: Layers inside of the student that learn from layers inside of the
            teacher, which is then one model; what they add comes on top.
        inputs: With hints: a few rows of data, to see what the layers give.
        numbers_loss: Of a regression, whose models answer numbers: the loss of the
            student against its teacher's answers, in the place of soft targets. There
            is no temperature then. Returns a value for each row.

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
    refusals.refuse_wrong(temperature, alpha)
    if teacher is not None and not isinstance(teacher, Teacher):
        numbers = numbers_loss is not None
        teacher = Teacher(teacher, from_logits=from_logits, numbers=numbers)
    refusals.refuse_other_answers(teacher, numbers_loss)
    refusals.refuse_hints(teacher, hints, student, inputs)
    scale_as_told(student)
    if not student.has_default_train_step:
        raise RefusedError(
            "distill: expected a model with Keras' own training step. Received: "
            f"{type(student).__name__}, which overrides train_step. Put its loss into "
            "compute_loss()."
        )
    remove_projections(student)  # Of hints that it was given before.
    pairs = resolve(student, teacher.models[0], hints, inputs) if hints else []
    keras_private.adopt_class(student, Distilled)
    soft = numbers_loss or SoftTargets(temperature, from_logits=from_logits)
    loss = GlobalLoss(soft)
    # Past Keras' own __setattr__, which would track it.
    vars(student)[_LESSON] = _Lesson(teacher, loss, alpha, pairs)
    # Those that were made before know nothing of a teacher.
    student.train_function = student.test_function = None
    if projections(student):
        _compile_anew(student)
    return student


def finish(student: keras.Model) -> keras.Model:
    """Takes away what a student has beside itself, once it has learned.

    Args:
        student: Of `distill`. If it has projections, it gets a new optimizer.

    Returns:
        The same object. Its loss is the plain one again.
    """
    vars(student).pop(_LESSON, None)
    if projections(student):
        remove_projections(student)
        _compile_anew(student)
    return scale_as_told(student)


def _compile_anew(student: keras.Model) -> None:
    """A new optimizer, for the variables that there are now."""
    if student.compiled and student.optimizer is not None and student.optimizer.built:
        with student.distribute_strategy.scope():
            student.compile_from_config(student.get_compile_config())


def with_answers(y: Any, answers: Any) -> dict[str, Any]:
    """Labels that a teacher's answers come with."""
    return {LABELS: y, ANSWERS: answers}


@dataclasses.dataclass(frozen=True)
class _Lesson:
    """What a student learns from, beside its labels."""

    teacher: Teacher | None
    loss: GlobalLoss
    alpha: float
    pairs: Sequence[Pair] = ()

    def look(self, x: Any, y: Any) -> tuple[Any, dict[int, Given]]:
        """The teacher's answers, and what its layers gave for them."""
        with seen.looking() as box:
            return self.answers(x, y), box

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


class Distilled(PlainSaving):
    """Put in front of a student's class: its loss in training.

    What is saved of it is nothing but itself.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        lesson = vars(self).get(_LESSON)
        if lesson is None or not lesson.pairs or not kwargs.get("training"):
            return super().__call__(*args, **kwargs)
        with seen.looking() as box:
            outputs = super().__call__(*args, **kwargs)
        _here.box = box  # For the loss that follows, in this thread.
        return outputs

    @contextlib.contextmanager
    def _as_plain(self) -> Iterator[None]:
        own = {id(v) for v in projections(self)}
        if not own:
            with super()._as_plain():
                yield
            return
        rest = [v for v in self.trainable_variables if id(v) not in own]
        with with_new_optimizer(self, rest), super()._as_plain():
            yield

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
        lesson = vars(self).get(_LESSON)
        if not training or lesson is None:
            return loss
        answers, theirs = lesson.look(x, y)
        is_soft = isinstance(lesson.loss.loss, SoftTargets)
        refusals.refuse_other_shape(answers, y_pred, are_classes=is_soft)
        soft = _over_slice(lesson.loss(answers, y_pred, sample_weight))
        # They count as they are, beside both.
        added = [tf.cast(tf.reduce_sum(added), loss.dtype) for added in self.losses]
        soft = tf.cast(soft, loss.dtype) + sum(added, tf.zeros((), loss.dtype))
        total = (1 - lesson.alpha) * loss + lesson.alpha * soft
        ours, _here.box = getattr(_here, "box", {}), {}
        for pair in lesson.pairs:
            hint = _over_slice(pair.of_slice(ours, theirs, sample_weight))
            total += tf.cast(hint, loss.dtype)
        return total

    # So that the compiled loss is known to be used.
    default_compute_loss = compute_loss


def _over_slice(share: tf.Tensor) -> tf.Tensor:
    """From a share of the whole to a mean over the slice, as the plain loss is one."""
    here = shard.current()
    if here is None:
        return share
    return share * tf.math.divide_no_nan(
        tf.cast(here.size, share.dtype), tf.cast(here.count, share.dtype)
    )


def _has_answers(y: Any) -> bool:
    return isinstance(y, dict) and ANSWERS in y


def _without_answers(y: Any, sample_weight: Any) -> tuple[Any, Any]:
    if not _has_answers(y):
        return y, sample_weight
    # Keras' `fit` gives every member of the labels the same weights.
    if isinstance(sample_weight, dict):
        sample_weight = sample_weight[LABELS]
    return y[LABELS], sample_weight
