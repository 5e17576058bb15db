"""How far what a student's layer gives is from what its teacher's gives.

Each is a mean over the positions of an example; the loss of a batch is their mean.
"""

from typing import Any

import keras
from keras import ops

from kerascale.layers._common import at_least_float32


class _OfLayers(keras.losses.Loss):
    """Abstract: a value for each example.

    Call arguments:
        y_true: What the teacher's layer gives; and of sequences, behind it, which
            positions are no padding: (batch, length).
        y_pred: What the student's layer gives.

    Returns:
        Of shape (batch,).
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        theirs, *valid = y_true if isinstance(y_true, list | tuple) else [y_true]
        dtype = at_least_float32(keras.backend.standardize_dtype(y_pred.dtype))
        each = self.distance(ops.cast(theirs, dtype), ops.cast(y_pred, dtype))
        if not valid:
            return ops.mean(ops.reshape(each, (ops.shape(each)[0], -1)), axis=-1)
        (valid,) = valid
        valid = ops.cast(valid, dtype)
        total = ops.sum(each * valid, axis=-1)
        return total / ops.maximum(ops.sum(valid, axis=-1), 1)

    def distance(self, theirs: Any, ours: Any) -> Any:
        """Of shape (batch, ...): a value for each position."""
        raise NotImplementedError


class Features(_OfLayers):
    """1/2 (teacher - student)^2, mean over a position's values.

    Romero et al. 2015, "FitNets: Hints for Thin Deep Nets", equation 3, which has the
    sum in place of the mean. The student's values went through a projection before, if
    they are not as many.
    """

    def distance(self, theirs: Any, ours: Any) -> Any:
        return ops.mean(ops.square(theirs - ours), axis=-1) / 2


class AttentionMaps(_OfLayers):
    """The distance of maps of where pictures have large values.

    A map is the sum over channels of squares, of length 1: Zagoruyko and Komodakis
    2017, "Paying More Attention to Attention", equation 2, with the square of the norm.
    Inputs are of shape (batch, height, width, channels).
    """

    def distance(self, theirs: Any, ours: Any) -> Any:
        difference = ops.square(_map(theirs) - _map(ours))
        return ops.sum(difference, axis=-1, keepdims=True)


def _map(values: Any) -> Any:
    squares = ops.sum(ops.square(values), axis=-1)
    flat = ops.reshape(squares, (ops.shape(squares)[0], -1))
    # A picture of zeros has a map of zeros, and a gradient that is finite.
    length = ops.sqrt(ops.sum(ops.square(flat), axis=-1, keepdims=True) + 1e-12)
    return flat / length


class AttentionWeights(_OfLayers):
    """KL(teacher || student) of what a position attends to, mean over the heads.

    Wang et al. 2020, "MiniLM", equation 4; there both have the same heads, of which
    each is compared. Inputs are of shape (batch, heads, query, key).
    """

    def distance(self, theirs: Any, ours: Any) -> Any:
        theirs, ours = ops.mean(theirs, axis=1), ops.mean(ours, axis=1)
        smallest = keras.config.epsilon()
        ratio = ops.log(ops.maximum(theirs, smallest)) - ops.log(
            ops.maximum(ours, smallest)
        )
        return ops.sum(theirs * ratio, axis=-1)
