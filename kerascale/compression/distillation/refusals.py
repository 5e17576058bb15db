"""What cannot be distilled, with the way out."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from kerascale.compression.distillation.hints import Hint
from kerascale.compression.distillation.teacher import Teacher
from kerascale.errors import RefusedError


def refuse_hints(
    teacher: Teacher | None, hints: Sequence[Hint], student: keras.Model, inputs: Any
) -> None:
    if not hints:
        return
    problems = []
    if teacher is None or len(teacher.models) != 1:
        received = "none" if teacher is None else f"{len(teacher.models)}"
        problems.append(
            f"hints: expected one teacher, whose layers are known. Received: {received}"
        )
    if inputs is None:
        problems.append(
            "inputs: expected a few rows of data, with hints. Received: none. Pass "
            "inputs=x[:2]"
        )
    if not student.built:
        problems.append(
            "student: expected a model that is built, with hints. Received: one that "
            "is not. Call model.build(input_shape)"
        )
    if problems:
        raise RefusedError(problems, heading="distill")


def refuse_wrong(temperature: float, alpha: float) -> None:
    problems = []
    if not 0 < temperature < float("inf"):
        problems.append(
            f"temperature: expected a finite number > 0. Received: {temperature!r}"
        )
    if not 0 <= alpha <= 1:
        problems.append(f"alpha: expected a number from 0 to 1. Received: {alpha!r}")
    if problems:
        raise RefusedError(problems, heading="distill")


def refuse_other_answers(
    teacher: Teacher | None, numbers_loss: keras.losses.Loss | None
) -> None:
    if teacher is None or teacher.numbers == (numbers_loss is not None):
        return
    received = "numbers" if teacher.numbers else "probabilities"
    raise RefusedError(
        "numbers_loss: expected it with a teacher that answers numbers, and with no "
        f"other. Received: a teacher of {received}. Pass Teacher(models, numbers=True) "
        "and a loss, or neither."
    )


def refuse_other_shape(answers: Any, y_pred: Any, *, are_classes: bool = True) -> None:
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
            f"on the same {'classes' if are_classes else 'targets'}."
        )
    if are_classes and expected[-1] == 1:
        raise RefusedError(
            "distill: expected probabilities of at least two classes. Received: one "
            "output. Give the models a softmax over two classes."
        )


def _shape(sizes: tf.TensorShape) -> str:
    return f"({', '.join(['batch', *map(str, sizes)])})"
