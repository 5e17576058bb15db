"""What an attack on a classifier makes large."""

from typing import Any, Literal

import numpy as np
import tensorflow as tf

from kerascale.engine.compat import keras_private

Name = Literal["cross_entropy", "margin"]


def logits_of(outputs: Any) -> tf.Tensor:
    """What the softmax was computed of; of other probabilities, their logarithms."""
    logits = keras_private.logits_of(outputs)
    if logits is None:
        logits = tf.math.log(tf.maximum(outputs, _smallest(outputs.dtype)))
    return tf.cast(logits, outputs.dtype)


def cross_entropy(outputs: Any, y: Any) -> tf.Tensor:
    """Of class indices, in nats, of shape (rows,)."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits_of(outputs))


def margin(outputs: Any, y: Any) -> tf.Tensor:
    """The largest logit of another class less that of the true one, of shape (rows,).

    Positive where the answer is wrong. Its gradient does not vanish where a model is
    sure of itself. Carlini and Wagner 2017, "Towards evaluating the robustness of
    neural networks".
    """
    logits = logits_of(outputs)
    true = tf.one_hot(y, tf.shape(logits)[-1], on_value=True, off_value=False)
    lowest = tf.constant(logits.dtype.min, logits.dtype)
    others = tf.reduce_max(tf.where(true, lowest, logits), axis=-1)
    own = tf.reduce_sum(tf.where(true, logits, tf.zeros_like(logits)), axis=-1)
    return others - own


BY_NAME = {"cross_entropy": cross_entropy, "margin": margin}


def _smallest(dtype: tf.DType) -> float:
    return float(np.finfo(dtype.as_numpy_dtype).tiny)
