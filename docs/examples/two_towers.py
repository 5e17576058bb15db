"""Two towers with in-batch negatives: what others have taken, a user has not.

Yi et al. 2019, "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item
Recommendations". Each replica compares its own users with the items of all replicas.
"""

import keras
import numpy as np
from keras import layers, ops

import kerascale as ks


class TwoTowers(ks.Model):
    """Takes {"user": (batch,), "item": (batch,)}, returns both vectors."""

    def __init__(self, users, items, width=16):
        super().__init__()
        self.user_tower = self._tower(users, width)
        self.item_tower = self._tower(items, width)

    def _tower(self, number, width):
        return keras.Sequential(
            [
                keras.Input((), dtype="int32"),
                layers.Embedding(number, width),
                layers.Dense(width),
                layers.UnitNormalization(),
            ]
        )

    def call(self, x):
        return self.user_tower(x["user"]), self.item_tower(x["item"])

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        users, items = y_pred
        items, taken = ks.ops.gather((items, x["item"]))
        logits = ops.matmul(users, ops.transpose(items)) / 0.1
        # An item may stand in a batch more than once.
        same = ops.cast(ops.equal(x["item"][:, None], taken[None, :]), logits.dtype)
        found = ops.sum(same * ops.log_softmax(logits, axis=1), axis=1)
        # A value for each row of this replica: the mean is over those of all.
        return ks.ops.global_mean(-found / ops.sum(same, axis=1))


USERS, ITEMS = 300, 100


def make():
    """The compiled model; call it within `strategy.scope()`."""
    model = TwoTowers(USERS, ITEMS)
    model.compile(keras.optimizers.Adam(1e-2))
    return model


def data(rows=4000, batch_size=128):
    """Arguments of `fit`: users take items that lie near to their own taste."""
    rng = np.random.default_rng(0)
    user = rng.integers(0, USERS, rows)
    item = (user // 3 + rng.integers(-3, 4, rows)) % ITEMS
    x = {"user": user.astype("int32"), "item": item.astype("int32")}
    return {"x": x, "batch_size": batch_size}


if __name__ == "__main__":
    with ks.strategies.get("auto").scope():
        model = make()
    model.fit(**data(), epochs=10)
