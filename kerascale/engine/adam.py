"""Adam's update of many variables: Keras' formula and its bits, in fewer operations.

Keras computes the powers of both betas and the rate's correction anew for each
variable, in 40 operations where 12 do. Tracing them was a third of the time until a
Transformer of 53 variables makes its first step.
"""

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

# A gradient, its variable, and that one's first and second moment.
Quad = tuple[tf.Tensor, tf.Variable, tf.Variable, tf.Variable]


def update(
    quads: Sequence[Quad],
    alpha: Callable[[str], tf.Tensor],
    *,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> None:
    """Traces the update of variables, and of their moments.

    Args:
        quads: Gradients are dense, of the shape and dtype of their variable.
        alpha: The learning rate with the correction for moments that begin with zero,
            a scalar of a dtype: `rate * sqrt(1 - beta_2^t) / (1 - beta_1^t)`, as in
            section 2 of Kingma and Ba, "Adam", 2015.
        beta_1: How much of the first moment stays.
        beta_2: How much of the second moment stays.
        epsilon: Added to the root of the second moment.
    """
    # `tf.raw_ops` takes tensors as they are: half of the time of `+` and `*`.
    op = tf.raw_ops
    for dtype in dict.fromkeys(variable.dtype for _, variable, _, _ in quads):
        rate = alpha(dtype.name)
        new_1, new_2, small = (
            tf.constant(x, dtype) for x in (1 - beta_1, 1 - beta_2, epsilon)
        )
        for gradient, variable, momentum, velocity in quads:
            if variable.dtype != dtype:
                continue
            m = tf.convert_to_tensor(momentum)
            change = op.Mul(x=op.Sub(x=gradient, y=m), y=new_1)
            m = op.AddV2(x=m, y=change)
            momentum.assign(m, read_value=False)
            v = tf.convert_to_tensor(velocity)
            change = op.Mul(x=op.Sub(x=op.Square(x=gradient), y=v), y=new_2)
            v = op.AddV2(x=v, y=change)
            velocity.assign(v, read_value=False)
            root = op.AddV2(x=op.Sqrt(x=v), y=small)
            step = op.RealDiv(x=op.Mul(x=m, y=rate), y=root)
            value = tf.convert_to_tensor(variable)
            variable.assign(op.Sub(x=value, y=step), read_value=False)


def is_plain(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether an optimizer updates as Keras' Adam does, without the largest moment."""
    names = ("update_step", "assign", "assign_add", "assign_sub")
    of_keras = keras.optimizers.Adam
    return (
        isinstance(optimizer, of_keras)
        and not optimizer.amsgrad
        and all(getattr(type(optimizer), n) is getattr(of_keras, n) for n in names)
    )
