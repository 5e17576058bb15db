"""Examples as they are explained: in parts, each of which can be taken away."""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascale.models.classifier import Classifier
from kerascale.trust.explanation.parts import Parts

# Rows of a batch: of answers, and of gradients, which need more memory.
_ROWS = 256
_GRADIENT_ROWS = 64


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Subject:
    """Some examples, and one number of the model's answer for each of them.

    "Embedded" is what the model computes with behind its first step, where gradients
    go all the way: normalized numbers, features of a table, vectors of words. Of a
    model that has no such step it is the inputs themselves.

    Args:
        model: The model.
        embedded: float32 of shape (examples, ...).
        baseline: What stands for a part that was taken away; of the same shape.
        masks: Of texts, which positions are no padding: boolean of shape (examples,
            length); or None.
        targets: Which of the model's outputs is explained, of shape (examples,).
        parts: How `embedded` falls into parts.
        coarse: The same in few parts, for methods that try each of them; of pictures,
            squares.
        scale: What a number is divided by in curves: 1 for probabilities, the
            target's deviation for a regression.
        is_regression: Whether the number may have any size.
        has_embedding: Whether `embedded` is behind the model's first step.
    """

    model: keras.Model
    embedded: np.ndarray
    baseline: np.ndarray
    masks: np.ndarray | None
    targets: np.ndarray
    parts: Parts
    coarse: Parts
    scale: float = 1.0
    is_regression: bool = False
    has_embedding: bool = False

    def __len__(self) -> int:
        return len(self.embedded)

    @functools.cached_property
    def valid(self) -> np.ndarray:
        """Which parts an example has: boolean of shape (examples, parts)."""
        if self.masks is None:
            return np.ones((len(self), self.parts.count), bool)
        return self.masks

    def with_some(self, keep: np.ndarray, parts: Parts, example: int) -> np.ndarray:
        """An example with some of its parts, and the baseline for the others.

        Args:
            keep: 1 for a part that stays, of shape (variants, parts).
            parts: What `keep` speaks of.
            example: Its place.

        Returns:
            Of shape (variants, ...).
        """
        shares = parts.spread(keep, self.embedded.ndim - 1).astype(np.float32)
        base = self.baseline[example]
        return base + shares * (self.embedded[example] - base)

    def scores(self, values: np.ndarray, examples: np.ndarray) -> np.ndarray:
        """The explained number, for variants of examples.

        Args:
            values: Embedded, of shape (variants, ...).
            examples: The place of the example that each is a variant of.

        Returns:
            float64 of shape (variants,).
        """
        found = np.empty(len(values), np.float64)
        for rows, batch in self._batches(values, examples, _ROWS):
            found[rows] = self._answer(*batch).numpy()
        return found

    def gradients(self, values: np.ndarray, examples: np.ndarray) -> np.ndarray:
        """The gradient of the explained number, for variants of examples.

        Returns:
            float32, of the shape of `values`.
        """
        found = np.empty(values.shape, np.float32)
        for rows, batch in self._batches(values, examples, _GRADIENT_ROWS):
            found[rows] = self._slope(*batch).numpy()
        return found

    @functools.cached_property
    def full(self) -> np.ndarray:
        """The number for each whole example."""
        return self.scores(self.embedded, np.arange(len(self)))

    @functools.cached_property
    def empty(self) -> np.ndarray:
        """The number for the baseline of each example."""
        return self.scores(self.baseline, np.arange(len(self)))

    def _batches(
        self, values: np.ndarray, examples: np.ndarray, most: int
    ) -> Iterator[tuple[slice, list[Any]]]:
        for first in range(0, len(values), most):
            rows = slice(first, first + most)
            which = examples[rows]
            masks = [] if self.masks is None else [tf.constant(self.masks[which])]
            targets = tf.constant(self.targets[which], tf.int64)
            yield rows, [tf.constant(values[rows]), targets, *masks]

    def _call(self, values: Any, targets: Any, masks: Any = None) -> Any:
        if self.has_embedding:
            values = tf.cast(values, self.model.compute_dtype)
            outputs = self.model.call_embedded(values, masks, training=False)
        else:
            outputs = self.model(values, training=False)
        return tf.gather(tf.cast(outputs, tf.float32), targets, batch_dims=1)

    def _graph(self, function: Any) -> Any:
        """One graph for any number of rows."""
        specs = [
            tf.TensorSpec((None, *self.embedded.shape[1:]), tf.float32),
            tf.TensorSpec((None,), tf.int64),
        ]
        if self.masks is not None:
            specs.append(tf.TensorSpec((None, *self.masks.shape[1:]), tf.bool))
        return tf.function(function, input_signature=specs, autograph=False)

    @functools.cached_property
    def _answer(self) -> Any:
        return self._graph(lambda *arguments: self._call(*arguments))

    @functools.cached_property
    def _slope(self) -> Any:
        def slope(values: Any, *others: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(values)
                # Rows do not meet, so the gradient of the sum is that of each.
                total = tf.reduce_sum(self._call(values, *others))
            return tape.gradient(
                total, values, unconnected_gradients=tf.UnconnectedGradients.ZERO
            )

        return self._graph(slope)


def can_embed(model: keras.Model) -> bool:
    """Whether a model says what its first step gives."""
    return (
        isinstance(model, Classifier)
        and type(model).call_embedded is not Classifier.call_embedded
        and type(model).call is Classifier.call
    )
