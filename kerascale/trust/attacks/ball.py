"""How far an attack may move an example, and steps within it.

An example may move by `epsilon` in a norm, and within the range that its numbers have.
Everything here is computed for each example by itself.
"""

import dataclasses
from typing import Any, Literal

import keras
import tensorflow as tf

from kerascale.layers import _by_place

Norm = Literal["inf", "2"]

# Added to the number of a draw: that of radii is far from those of other steps.
_RADII = 2**62

# Parts of the largest gradient of an example below which a gradient is rounding.
_ROUNDING = {"float64": 1e-12, "float32": 1e-7}


@dataclasses.dataclass(frozen=True)
class Ball:
    """The examples that an attack may try instead of one.

    Args:
        norm: `inf`: the largest change of a number is limited; `2`: the root of the
            sum of squared changes.
        epsilon: The limit, in the units of the data as a user sees it.
        scale: One such unit, in the numbers that the model is given: a scalar, or an
            array of the shape of an example or of its last axis. 0: that number is
            never changed.
        low: The smallest number that an example may have, like `scale`.
        high: The largest.
    """

    norm: Norm
    epsilon: Any
    scale: Any
    low: Any
    high: Any

    def start(self, x: tf.Tensor, seed: Any, draw: Any, offset: Any) -> tf.Tensor:
        """A random point of the ball for each example.

        `inf`: each number uniformly; `2`: uniformly in the ball.

        Args:
            x: Examples, float tensor of shape (rows, ...).
            seed: uint64 scalar.
            draw: uint64 scalar: which of the draws this is.
            offset: int64 scalar: the place of the first row in the global batch, which
                its numbers depend on.
        """
        shape = tf.shape(x)
        if self.norm == "inf":
            unit = _by_place.uniform(shape, offset, seed, draw)
            unit = 2 * tf.cast(unit, x.dtype) - 1
        else:
            unit = _unit(_by_place.normal(shape, offset, seed, draw, x.dtype))
            radius = _by_place.uniform(
                shape[:1], offset, seed, draw + tf.constant(_RADII, tf.uint64)
            )
            size = tf.cast(tf.reduce_prod(shape[1:]), x.dtype)
            unit *= _by_row(tf.cast(radius, x.dtype) ** (1 / size), x)
        return self.within(x, x + unit * self._epsilon(x))

    def step(
        self, x: tf.Tensor, now: tf.Tensor, gradient: tf.Tensor, size: Any
    ) -> tf.Tensor:
        """One step uphill from `now`, and back into the ball around `x`.

        Args:
            x: The examples as they are.
            now: As an attack has changed them.
            gradient: Of the loss, by the numbers that the model is given.
            size: How far a step goes, in the units of `epsilon`.
        """
        # By the units of the user: the ball is round in them.
        gradient = gradient * self._scale(x)
        if self.norm == "inf":
            largest = tf.reduce_max(tf.abs(gradient), _but_rows(x), keepdims=True)
            counts = tf.abs(gradient) > largest * _ROUNDING.get(x.dtype.name, 1e-3)
            direction = tf.where(counts, tf.sign(gradient), tf.zeros_like(gradient))
        else:
            direction = _unit(gradient)
        size = tf.cast(size, x.dtype)
        return self.within(x, now + direction * size * self._scale(x))

    def within(self, x: tf.Tensor, now: tf.Tensor) -> tf.Tensor:
        """The point of the ball around `x` that is nearest to `now`."""
        change = (now - x) / self._safe_scale(x)
        epsilon = tf.cast(self.epsilon, x.dtype)
        if self.norm == "inf":
            change = tf.clip_by_value(change, -epsilon, epsilon)
        else:
            length = _lengths(change)
            factor = tf.minimum(
                tf.ones_like(length), tf.math.divide_no_nan(epsilon, length)
            )
            change = tf.where(length > epsilon, change * factor, change)
        low = tf.minimum(tf.cast(self.low, x.dtype), x)
        high = tf.maximum(tf.cast(self.high, x.dtype), x)
        return tf.clip_by_value(x + change * self._scale(x), low, high)

    def _epsilon(self, x: tf.Tensor) -> tf.Tensor:
        return tf.cast(self.epsilon, x.dtype) * self._scale(x)

    def _scale(self, x: tf.Tensor) -> tf.Tensor:
        return tf.cast(self.scale, x.dtype)

    def _safe_scale(self, x: tf.Tensor) -> tf.Tensor:
        scale = self._scale(x)
        return tf.where(scale > 0, scale, tf.ones_like(scale))


def _but_rows(x: tf.Tensor) -> list[int]:
    return list(range(1, x.shape.rank))


def _by_row(values: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    return tf.reshape(values, [-1] + [1] * (x.shape.rank - 1))


def _lengths(x: tf.Tensor) -> tf.Tensor:
    """Of each example, with axes of 1."""
    # A scale first, so that squares of tiny gradients do not vanish.
    largest = tf.reduce_max(tf.abs(x), _but_rows(x), keepdims=True)
    scaled = tf.math.divide_no_nan(x, largest)
    return largest * tf.sqrt(tf.reduce_sum(scaled**2, _but_rows(x), keepdims=True))


def _unit(x: tf.Tensor) -> tf.Tensor:
    return tf.math.divide_no_nan(x, _lengths(x))


def as_float(x: Any) -> tf.Tensor:
    """Examples as numbers that can be moved: whole ones become floats."""
    x = tf.convert_to_tensor(x)
    return x if x.dtype.is_floating else tf.cast(x, keras.config.floatx())
