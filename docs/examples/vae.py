"""A variational autoencoder, whose draws are the same on any number of devices.

Kingma and Welling 2013, "Auto-Encoding Variational Bayes". `ks.layers.Sampling` draws
by the place of an example in the global batch.
"""

import keras
from keras import layers, ops

import kerascale as ks


class VAE(ks.Model):
    """Takes images of shape (8, 8, 1), returns what it makes of them."""

    def __init__(self, latent=4):
        super().__init__()
        self.encoder = keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                layers.Flatten(),
                layers.Dense(64, activation="relu"),
                layers.Dense(2 * latent),
            ]
        )
        self.sampling = ks.layers.Sampling(seed=0)
        self.decoder = keras.Sequential(
            [
                keras.Input((latent,)),
                layers.Dense(64, activation="relu"),
                layers.Dense(64, activation="sigmoid"),
                layers.Reshape((8, 8, 1)),
            ]
        )

    def call(self, x, training=False):
        mean, log_var = ops.split(self.encoder(x), 2, axis=1)
        divergence = ops.square(mean) + ops.exp(log_var) - log_var - 1
        # A mean over rows: what is added is that of a replica's slice.
        self.add_loss(0.5 * ops.mean(ops.sum(divergence, axis=1)))
        return self.decoder(self.sampling((mean, log_var), training=training))


def reconstruction(y_true, y_pred):
    """A value for each row."""
    entropy = keras.losses.binary_crossentropy(y_true, y_pred)
    return ops.sum(entropy, axis=(1, 2))


def make():
    """The compiled model; call it within `strategy.scope()`."""
    model = VAE()
    model.compile(keras.optimizers.Adam(1e-3), loss=reconstruction)
    return model


def data(rows=None, batch_size=128):
    """Arguments of `fit`: the digits, which are their own targets."""
    digits = ks.datasets.read("digits").train
    x = digits.features[:rows] / 16
    return {"x": x, "y": x, "batch_size": batch_size}


if __name__ == "__main__":
    with ks.strategies.get("auto").scope():
        model = make()
    model.fit(**data(), epochs=10)
