"""SimCLR: two views of an image are alike, and unlike all others of the batch.

Chen et al. 2020, "A Simple Framework for Contrastive Learning of Visual
Representations". `ks.ops.gather` brings the views of all replicas together.
"""

import keras
import numpy as np
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


class Views(keras.utils.PyDataset):
    """Batches of two views: moved by a pixel at most, with some pixels missing.

    What is drawn is decided by the seed, the epoch and the number of the batch.
    """

    def __init__(self, images, batch_size, seed=0):
        super().__init__()
        self.images, self.batch_size, self.seed = images, batch_size, seed
        self.epoch = 0

    def __len__(self):
        return -(-len(self.images) // self.batch_size)

    def __getitem__(self, index):
        rng = np.random.default_rng([self.seed, self.epoch, index])
        start = index * self.batch_size
        images = self.images[start : start + self.batch_size]
        return np.stack([self._view(images, rng) for _ in range(2)], axis=1)

    def _view(self, images, rng):
        moves = rng.integers(-1, 2, (len(images), 2))
        moved = [np.roll(i, m, (0, 1)) for i, m in zip(images, moves, strict=True)]
        return np.stack(moved) * (rng.random(images.shape) > 0.2)

    def on_epoch_end(self):
        self.epoch += 1


def make():
    """The compiled model; call it within `strategy.scope()`."""
    model = SimCLR()
    model.compile(keras.optimizers.Adam(1e-3))
    return model


def data(rows=None, batch_size=128):
    """Arguments of `fit`: the digits, of which no label is needed."""
    digits = ks.datasets.read("digits").train
    return {"x": Views(digits.features[:rows] / 16, batch_size)}


if __name__ == "__main__":
    with ks.strategies.get("auto").scope():
        model = make()
    model.fit(**data(), epochs=10)
