"""Gradients of a loss by the inputs, and ascents along them: FGSM and PGD.

Goodfellow et al. 2015, "Explaining and harnessing adversarial examples"; Madry et al.
2018, "Towards deep learning models resistant to adversarial attacks".
"""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from kerascale.engine.compat import keras_private
from kerascale.engine.step import observations
from kerascale.errors import RefusedError
from kerascale.trust.attacks.ball import Ball

# (model's outputs, labels) -> float tensor with rows as its first axis.
Loss = Callable[[Any, Any], tf.Tensor]


def answers(model: keras.Model, x: tf.Tensor) -> Any:
    """What a model gives in inference mode; nothing that it holds is changed."""
    # What layers add to the loss, draw or tell while they are asked, nobody hears.
    with keras_private.Aside([]), observations.collecting():
        return keras_private.call(model, x, training=False)


def gradient_of(model: keras.Model, x: tf.Tensor, y: Any, loss: Loss) -> tf.Tensor:
    """Of the summed losses by the inputs: each row has the gradient of its own loss."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        total = tf.reduce_sum(loss(answers(model, x), y))
    found = tape.gradient(total, x)
    return tf.zeros_like(x) if found is None else found


def climb(
    model: keras.Model,
    x: tf.Tensor,
    y: Any,
    start: tf.Tensor,
    loss: Loss,
    ball: Ball,
    steps: int,
    step_size: Any,
) -> tf.Tensor:
    """Takes steps uphill, each back into the ball.

    Args:
        model: Built.
        x: Examples, float tensor of shape (rows, ...).
        y: Their labels, as the loss takes them.
        start: Where it begins, of the shape of `x`.
        loss: See `Loss`.
        ball: Around `x`.
        steps: How many.
        step_size: In the units of the ball's `epsilon`.

    Returns:
        Of the shape and dtype of `x`. No gradient flows through it.
    """

    def one(i: tf.Tensor, now: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        found = ball.step(x, now, gradient_of(model, now, y, loss), step_size)
        return i + 1, tf.ensure_shape(found, x.shape)

    _, now = tf.while_loop(
        lambda i, _: i < steps,
        one,
        [tf.constant(0), tf.ensure_shape(start, x.shape)],
        parallel_iterations=1,
    )
    return tf.stop_gradient(now)


def compiled_loss_of(model: keras.Model) -> Loss:
    """The loss that a model was compiled with, for each row.

    It raises `RefusedError` where it is called, if the model has none, or several.
    """

    def of_rows(outputs: Any, y: Any) -> tf.Tensor:
        losses = keras_private.losses_for(model, y, outputs)
        if len(losses) != 1:
            raise RefusedError(
                "adversarial: expected a model with one output and one compiled loss. "
                f"Received: {len(losses) or 'none'}."
            )
        plain = getattr(losses[0], "loss", losses[0])  # On replicas it is wrapped.
        dtype = plain.dtype
        return plain.call(
            keras.ops.convert_to_tensor(y, dtype=dtype),
            # As Keras' losses do it: what a softmax was computed of stays known.
            keras.ops.convert_to_tensor(outputs, dtype=dtype),
        )

    return of_rows
