"""Gradients that are clipped for each example and noised once."""

import keras
import numpy as np
import tensorflow as tf
from building import BATCH, EXAMPLES, classes, mlp, numbers, scaled, trained
from registry import case

import kerascale as ks
from kerascale.engine.step.private import install, method
from kerascale.layers import Dropout, TransformerStack


def _private(model, inputs, by_rules=True):
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    install.refuse_unfit(model)
    if by_rules:
        assert not install.tap(model, tf.constant(inputs[:4]))
    key = tf.Variable([3, -5], dtype=tf.int64, trainable=False)
    # The other model has loops.
    own = method.PrivateMethod(0.05, 0.5, BATCH, key, by_rules, beside=by_rules)
    method.attach(model, own)
    return model


# In the step of replicas, of which one has an empty slice of the last batch.
@case("private steps: dropout, penalties, weighted rows, Adam", default=("mirrored:2",))
def private_steps():
    hidden = keras.layers.Dense(8, activation="tanh", kernel_regularizer="l2")
    model = mlp(hidden, Dropout(0.2, seed=3))
    weights = np.linspace(0.5, 2.0, EXAMPLES)
    model = _private(model, numbers(EXAMPLES, 4))
    return trained(
        model,
        optimizer=keras.optimizers.Adam(0.01),
        fit={"sample_weight": weights},
    )


@case("private steps: convolution, attention, positions, embedding")
def private_steps_of_layers():
    x = keras.Input((4,))
    ids = keras.ops.cast(keras.ops.minimum(keras.ops.abs(x) * 2, 6), "int32")
    y = ks.layers.TokenEmbedding(7, 6)(ids)
    y = TransformerStack(1, 2, 8, positions="learned", max_length=4)(y)
    y = keras.layers.Reshape((4, 6, 1))(y)
    y = keras.layers.Conv2D(3, 3, strides=2, padding="same", activation="relu")(y)
    y = keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(y))
    model = _private(scaled(keras.Model(x, y)), numbers(EXAMPLES, 4))
    return trained(model, optimizer=keras.optimizers.SGD(0.1))


@case("private steps: each example by itself")
def private_steps_one_by_one():
    x = keras.Input((4,))
    y = keras.layers.LSTM(4)(keras.layers.Reshape((4, 1))(x))
    y = keras.layers.Dense(3, activation="softmax")(y)
    model = _private(scaled(keras.Model(x, y)), numbers(EXAMPLES, 4), by_rules=False)
    return trained(model, numbers(EXAMPLES, 4), classes(EXAMPLES))
