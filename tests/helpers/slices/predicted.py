"""Models whose predictions ask for a row's place in the batch, or for other rows.

Each function makes a model. It predicts batches of eight rows, the last of one.
"""

from keras import layers, ops

import kerascale as ks


class Encoder(ks.Model):
    """Draws in inference too, as a VAE that generates."""

    def __init__(self):
        super().__init__()
        self.mean = layers.Dense(3)
        self.sampling = ks.layers.Sampling(seed=3)

    def call(self, x):
        mean = self.mean(x)
        return self.sampling((mean, 0 * mean), training=True)


class Centred(ks.Model):
    """Asks for all rows of a batch in `predict_step`."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3)

    def call(self, x):
        return self.dense(x)

    def predict_step(self, data):
        found = super().predict_step(data)
        largest = ops.max(ks.ops.gather(found), axis=0)
        return {"centred": found - ks.ops.global_mean(found), "below": largest - found}


CASES = {"draws": Encoder, "asks": Centred}
