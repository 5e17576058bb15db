"""Adam's update of many variables: Keras' formula and its bits, in fewer operations.

Keras computes the powers of both betas and the rate's correction anew for each
variable: 41 operations for each, here 22. They were two fifths of tracing the step of a
Transformer of 53 variables.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

# A gradient, its variable, that one's first and second moment, and what is to be made
# of its new value (None: nothing).
Quintuple = tuple[
    tf.Tensor, tf.Variable, tf.Variable, tf.Variable, Callable[[Any], Any] | None
]


def update(
    optimizer: keras.optimizers.Adam,
    quintuples: Sequence[Quintuple],
    learning_rate: tf.Tensor | float,
) -> None:
    """Traces the update of variables, and of their moments.

    Args:
        optimizer: One that `is_plain`.
        quintuples: Gradients are dense, of the shape and dtype of their variable.
        learning_rate: That of this update; scalar.
    """
    # `tf.raw_ops` takes tensors as they are: half of the time of `+` and `*`.
    op = tf.raw_ops

    @functools.cache
    def scalars(dtype: tf.DType) -> tuple[tf.Tensor, ...]:
        values = 1 - optimizer.beta_1, 1 - optimizer.beta_2, optimizer.epsilon
        rate = _corrected(optimizer, learning_rate, dtype.name)
        return rate, *(tf.constant(x, dtype) for x in values)

    for gradient, variable, momentum, velocity, constrained in quintuples:
        rate, new_1, new_2, epsilon = scalars(variable.dtype)
        m = tf.convert_to_tensor(momentum)
        change = op.Mul(x=op.Sub(x=gradient, y=m), y=new_1)
        m = op.AddV2(x=m, y=change)
        momentum.assign(m, read_value=False)
        v = tf.convert_to_tensor(velocity)
        change = op.Mul(x=op.Sub(x=op.Square(x=gradient), y=v), y=new_2)
        v = op.AddV2(x=v, y=change)
        velocity.assign(v, read_value=False)
        root = op.AddV2(x=op.Sqrt(x=v), y=epsilon)
        step = op.RealDiv(x=op.Mul(x=m, y=rate), y=root)
        value = op.Sub(x=tf.convert_to_tensor(variable), y=step)
        if constrained is not None:
            value = constrained(value)
        variable.assign(value, read_value=False)


def _corrected(
    optimizer: keras.optimizers.Adam, learning_rate: tf.Tensor | float, dtype: str
) -> tf.Tensor:
    """The rate, corrected for moments that begin with zero.

    `rate * sqrt(1 - beta_2^t) / (1 - beta_1^t)`, as in section 2 of Kingma and Ba,
    "Adam", 2015.
    """
    step = keras.ops.cast(optimizer.iterations + 1, dtype)
    power_1, power_2 = (
        keras.ops.power(keras.ops.cast(beta, dtype), step)
        for beta in (optimizer.beta_1, optimizer.beta_2)
    )
    rate = keras.ops.cast(learning_rate, dtype)
    return rate * keras.ops.sqrt(1 - power_2) / (1 - power_1)


def is_plain(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether an optimizer updates as Keras' Adam does, without the largest moment."""
    names = ("update_step", "assign", "assign_add", "assign_sub")
    of_keras = keras.optimizers.Adam
    return (
        isinstance(optimizer, of_keras)
        and not optimizer.amsgrad
        and all(getattr(type(optimizer), n) is getattr(of_keras, n) for n in names)
    )
