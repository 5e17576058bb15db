"""A GAN: two optimizers, of which the second sees what the first has updated.

Goodfellow et al. 2014, "Generative Adversarial Nets". A step reduces its gradients over
all replicas, and updates, where it calls `apply`.
"""

import keras
import tensorflow as tf
from keras import layers, ops

import kerascale as ks


class GAN(ks.Model):
    """A generator of images of shape (8, 8, 1), and a discriminator."""

    def __init__(self, latent=8):
        super().__init__()
        self.latent = latent
        self.generator = keras.Sequential(
            [
                keras.Input((latent,)),
                layers.Dense(64, activation="leaky_relu"),
                layers.Dense(64, activation="sigmoid"),
                layers.Reshape((8, 8, 1)),
            ]
        )
        self.discriminator = keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                layers.Conv2D(16, 3, activation="leaky_relu"),
                layers.Flatten(),
                layers.Dense(1),
            ]
        )
        # It draws by the place of an example in the global batch.
        self.sampling = ks.layers.Sampling(seed=0)
        # Losses in attributes are means over a replica's slice of the batch.
        self.entropy = keras.losses.BinaryCrossentropy(from_logits=True)
        self.d_loss = keras.metrics.Mean(name="d_loss")
        self.g_loss = keras.metrics.Mean(name="g_loss")

    def compile(self, d_optimizer, g_optimizer):
        super().compile(optimizer=d_optimizer)
        self.g_optimizer = g_optimizer

    def call(self, latent):
        return self.generator(latent)

    def train_step(self, real):
        zeros = ops.zeros((ops.shape(real)[0], self.latent))
        latent = self.sampling((zeros, zeros), training=True)
        with tf.GradientTape() as tape:
            says_real = self.discriminator(real)
            says_fake = self.discriminator(self.generator(latent))
            d_loss = self.entropy(ops.ones_like(says_real), says_real)
            d_loss += self.entropy(ops.zeros_like(says_fake), says_fake)
        weights = self.discriminator.trainable_weights
        self.optimizer.apply(tape.gradient(d_loss, weights), weights)
        with tf.GradientTape() as tape:
            says_fake = self.discriminator(self.generator(latent))
            g_loss = self.entropy(ops.ones_like(says_fake), says_fake)
        weights = self.generator.trainable_weights
        self.g_optimizer.apply(tape.gradient(g_loss, weights), weights)
        self.d_loss.update_state(d_loss)
        self.g_loss.update_state(g_loss)
        return {m.name: m.result() for m in (self.d_loss, self.g_loss)}


def make():
    """The compiled model; call it within `strategy.scope()`."""
    model = GAN()
    model.compile(
        d_optimizer=keras.optimizers.Adam(1e-3, beta_1=0.5),
        g_optimizer=keras.optimizers.Adam(1e-3, beta_1=0.5),
    )
    return model


def data(rows=None, batch_size=128):
    """Arguments of `fit`: the digits."""
    digits = ks.datasets.read("digits").train
    return {"x": digits.features[:rows] / 16, "batch_size": batch_size}


if __name__ == "__main__":
    with ks.strategies.get("auto").scope():
        model = make()
    model.fit(**data(), epochs=10)
