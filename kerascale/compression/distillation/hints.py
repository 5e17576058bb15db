"""Layers inside of a student that learn from layers inside of its teacher."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import keras
import tensorflow as tf
from keras import ops

from kerascale.compression.distillation import hint_losses, seen
from kerascale.compression.distillation.seen import Given
from kerascale.compression.named_layers import find
from kerascale.engine.compat import keras_private
from kerascale.engine.step.losses import GlobalLoss
from kerascale.errors import RefusedError
from kerascale.layers import SelfAttention


@dataclasses.dataclass(frozen=True)
class Hint:
    """A layer that learns from another one.

    Args:
        kind: `features`: its values become those of the teacher's layer, through a
            trained projection where they are not as many. `attention`: it looks where
            the teacher's looks; for `kerascale.layers.SelfAttention`, whose weights are
            compared, and for layers that give pictures (batch, height, width,
            channels).
        student: Name or path of a layer of the student, such as `stack/block_1`.
        teacher: Name or path of a layer of the teacher.
        weight: Of its loss beside the others.
    """

    kind: Literal["features", "attention"]
    student: str
    teacher: str
    weight: float = 1.0


@dataclasses.dataclass(frozen=True, eq=False)
class Pair:
    """A hint whose layers are known.

    Args:
        hint: What was asked for.
        student: The student's layer.
        teacher: The teacher's layer.
        loss: Of a slice of a batch.
        projection: Of shape (student's values, teacher's values); or None.
    """

    hint: Hint
    student: keras.layers.Layer
    teacher: keras.layers.Layer
    loss: GlobalLoss
    projection: keras.Variable | None

    def of_slice(
        self,
        ours: Mapping[int, Given],
        theirs: Mapping[int, Given],
        sample_weight: Any,
    ) -> tf.Tensor:
        """The slice's share of the loss, times its weight.

        Args:
            ours: What the student's layers gave.
            theirs: What the teacher's layers gave.
            sample_weight: Of the rows, or of their positions; or None.
        """
        given = ours.get(id(self.student))
        if given is None:
            raise RefusedError(
                f"hints: expected a call of {self.hint.student} in the student's last "
                "call with training=True. Received: none. Call student(x, "
                "training=True) before compute_loss(), and the layer within it."
            )
        mine, other = given.values, theirs[id(self.teacher)].values
        if self.projection is not None:
            mine = ops.matmul(mine, ops.cast(self.projection, mine.dtype))
        target = tf.stop_gradient(other)
        if given.mask is not None:
            target = [target, given.mask]
        # Without its mask, which is of positions; the loss has a value for each row.
        loss = self.loss(target, tf.identity(mine), _by_row(sample_weight))
        return self.hint.weight * loss


def _by_row(sample_weight: Any) -> Any:
    if sample_weight is None:
        return None
    weight = tf.convert_to_tensor(sample_weight)
    return tf.reduce_mean(weight, axis=list(range(1, weight.shape.rank)))


def resolve(
    student: keras.Model,
    teacher: keras.Model,
    hints: Sequence[Hint],
    inputs: Any,
) -> list[Pair]:
    """Finds the layers, and gives the student's projections where they are needed.

    Args:
        student: Built.
        teacher: Built.
        hints: What was asked for.
        inputs: Some rows of data, which both models take.

    Raises:
        RefusedError: Naming each layer that there is not, and each pair that gives
            values which cannot be compared.
    """
    problems: list[str] = []
    pairs = []
    for hint in hints:
        layers = []
        for model, name, whose in (
            (student, hint.student, "the student"),
            (teacher, hint.teacher, "the teacher"),
        ):
            layer = find(model, name, f"distill_{hint.kind}", whose, problems)
            layers.append(layer)
        pairs.append((hint, *layers))
    if problems:
        raise RefusedError(problems, heading="distill")
    for _, *layers in pairs:
        for layer in layers:
            seen.adopt(layer)
    ours, theirs = (_given(model, inputs) for model in (student, teacher))
    found = []
    with student.distribute_strategy.scope():
        for place, (hint, mine, other) in enumerate(pairs):
            shapes = _shape(ours, mine), _shape(theirs, other)
            loss, problem = _loss_of(hint, mine, other, shapes)
            if problem:
                problems.append(problem)
                continue
            projection = None
            if hint.kind == "features" and shapes[0][-1] != shapes[1][-1]:
                projection = seen.add_guest(
                    mine,
                    name=f"distill_projection_{place}",
                    shape=(shapes[0][-1], shapes[1][-1]),
                    initializer=keras.initializers.GlorotUniform(seed=place),
                )
            found.append(Pair(hint, mine, other, GlobalLoss(loss), projection))
    if problems:
        remove_projections(student)
        raise RefusedError(problems, heading="distill")
    return found


def projections(model: keras.Model) -> list[keras.Variable]:
    """The variables that a student has for its lessons alone."""
    layers = keras_private.all_layers(model)
    return [v for layer in layers for v in seen.guests_of(layer)]


def remove_projections(model: keras.Model) -> None:
    for layer in keras_private.all_layers(model):
        seen.remove_guests(layer)


def _given(model: keras.Model, inputs: Any) -> dict[int, Given]:
    with seen.looking() as box:
        keras_private.call(model, inputs, training=False)
    return box


def _shape(given: Mapping[int, Given], layer: keras.layers.Layer) -> tuple[int, ...]:
    found = given.get(id(layer))
    return tuple(getattr(found.values, "shape", ())) if found is not None else ()


def _loss_of(
    hint: Hint,
    mine: keras.layers.Layer,
    other: keras.layers.Layer,
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
) -> tuple[keras.losses.Loss | None, str]:
    """The loss, or why these layers cannot be compared."""
    ours, theirs = shapes
    expected = None
    if hint.kind == "features":
        if ours[:-1] == theirs[:-1] and len(ours) > 1 and not _are_weights(mine, other):
            return hint_losses.Features(), ""
        expected = "two layers that give values at the same positions"
    elif _are_weights(mine, other):
        if ours[2:] == theirs[2:] != ():
            return hint_losses.AttentionWeights(), ""
        expected = "attention over the same positions"
    else:
        if len(ours) == 4 and ours[:-1] == theirs[:-1]:
            return hint_losses.AttentionMaps(), ""
        expected = (
            "two layers of kerascale.layers.SelfAttention, or two that give pictures "
            "of one height and width"
        )
    return None, (
        f"distill_{hint.kind} {hint.student}:{hint.teacher}: expected {expected}. "
        f"Received: {type(mine).__name__} with {ours[1:]} for an example, and "
        f"{type(other).__name__} with {theirs[1:]}"
    )


def _are_weights(*layers: keras.layers.Layer) -> bool:
    return all(isinstance(layer, SelfAttention) for layer in layers)
