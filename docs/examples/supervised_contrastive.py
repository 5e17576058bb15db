"""Supervised contrastive learning: a loss for `compile`, of any Keras model.

Khosla et al. 2020, "Supervised Contrastive Learning". It returns a scalar, the mean
over all rows that `ks.ops.gather` has brought together.
"""

import keras
from keras import layers, ops

import kerascale as ks


def supervised_contrastive(y_true, y_pred, temperature=0.2):
    """Rows of one class are alike, and unlike those of other classes."""
    y, z = ks.ops.gather((ops.reshape(y_true, (-1,)), ops.normalize(y_pred, axis=1)))
    other = 1 - ops.eye(ops.shape(z)[0], dtype=z.dtype)
    same = ops.cast(ops.equal(y[:, None], y[None, :]), z.dtype) * other
    logits = ops.matmul(z, ops.transpose(z)) / temperature - 1e9 * (1 - other)
    alike = ops.sum(same * ops.log_softmax(logits, axis=1), axis=1)
    return -ops.mean(alike / ops.maximum(ops.sum(same, axis=1), 1))


def make():
    """The compiled model; call it within `strategy.scope()`."""
    model = ks.scale(
        keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                layers.Conv2D(16, 3, activation="relu"),
                layers.Flatten(),
                layers.Dense(32, activation="relu"),
                layers.Dense(16),
            ]
        )
    )
    model.compile(keras.optimizers.Adam(1e-3), loss=supervised_contrastive)
    return model


def data(rows=None, batch_size=128):
    """Arguments of `fit`: the digits and their labels."""
    digits = ks.datasets.read("digits").train
    return {
        "x": digits.features[:rows] / 16,
        "y": digits.labels[:rows],
        "batch_size": batch_size,
    }


if __name__ == "__main__":
    with ks.strategies.get("auto").scope():
        model = make()
    model.fit(**data(), epochs=10)
