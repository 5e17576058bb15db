"""SimCLR: two views of an image are alike, and unlike all others of the batch.

Chen et al. 2020, "A Simple Framework for Contrastive Learning of Visual
Representations". `ks.ops.gather` brings the views of all replicas together.
"""

import keras
import tensorflow as tf
from keras import layers, ops

import kerascale as ks


class SimCLR(ks.Model):
    """Takes views of shape (batch, 2, 8, 8, 1), returns (batch, 2, width)."""

    def __init__(self, width=16, temperature=0.5):
        super().__init__()
        self.temperature = temperature
        self.encoder = keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                layers.Conv2D(16, 3, activation="relu"),
                layers.Conv2D(32, 3, strides=2, activation="relu"),
                layers.GlobalAveragePooling2D(),
            ]
        )
        self.projection = keras.Sequential(
            [keras.Input((32,)), layers.Dense(32, "relu"), layers.Dense(width)]
        )

    def call(self, views, training=False):
        images = ops.reshape(views, (-1, 8, 8, 1))
        z = self.projection(self.encoder(images, training=training))
        return ops.reshape(ops.normalize(z, axis=1), (-1, 2, z.shape[-1]))

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        z = ks.ops.gather(y_pred)  # Of all replicas, in the order of the batch.
        rows = ops.shape(z)[0]
        z = ops.concatenate([z[:, 0], z[:, 1]])
        similarity = ops.matmul(z, ops.transpose(z)) / self.temperature
        similarity -= 1e9 * ops.eye(2 * rows, dtype=z.dtype)  # Not with itself.
        partner = ops.roll(ops.arange(2 * rows), rows)
        return ops.mean(
            keras.losses.sparse_categorical_crossentropy(
                partner, similarity, from_logits=True
            )
        )


def two_views(number, image):
    """Moved by a pixel at most, with another contrast: decided by the number alone."""
    wide = tf.pad(image, [[1, 1], [1, 1], [0, 0]])

    def view(which):
        seed = tf.stack([number, which])
        moved = tf.image.stateless_random_crop(wide, image.shape, seed)
        return tf.image.stateless_random_contrast(moved, 0.5, 1.5, seed)

    return tf.stack([view(0), view(1)])


def make():
    """The compiled model; call it within `strategy.scope()`."""
    model = SimCLR()
    model.compile(keras.optimizers.Adam(1e-3))
    return model


def data(rows=None, batch_size=128):
    """Arguments of `fit`: the digits, of which no label is needed."""
    images = ks.datasets.read("digits").train.features[:rows] / 16
    dataset = tf.data.Dataset.from_tensor_slices(images.astype("float32"))
    # Numbers go on from epoch to epoch: each has views of its own.
    dataset = dataset.repeat().enumerate().map(two_views).batch(batch_size)
    return {"x": dataset, "steps_per_epoch": -(-len(images) // batch_size)}


if __name__ == "__main__":
    with ks.strategies.get("auto").scope():
        model = make()
    model.fit(**data(), epochs=10)
