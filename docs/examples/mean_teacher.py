"""Distillation from a teacher that is the moving average of its student.

Tarvainen and Valpola 2017, "Mean teachers are better role models". The average is
taken in `after_update`, which runs on each replica behind every update.
"""

import keras
from keras import layers, ops

import kerascale as ks


class MeanTeacher(ks.Model):
    """Takes images of shape (8, 8, 1), returns the student's logits."""

    def __init__(self, classes=10, momentum=0.99, temperature=2.0, alpha=0.5):
        super().__init__()
        self.momentum, self.temperature, self.alpha = momentum, temperature, alpha
        self.student = keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                layers.Flatten(),
                ks.layers.Dropout(0.2, seed=0),
                layers.Dense(64, activation="relu"),
                layers.Dense(classes),
            ]
        )
        self.teacher = keras.models.clone_model(self.student)
        self.teacher.set_weights(self.student.get_weights())
        self.teacher.trainable = False

    def call(self, x, training=False):
        return self.student(x, training=training)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        supervised = super().compute_loss(x, y, y_pred, sample_weight, training)
        soft, hard = self.teacher(x, training=False), y_pred
        distance = keras.losses.kl_divergence(
            ops.softmax(soft / self.temperature), ops.softmax(hard / self.temperature)
        )
        scale = self.alpha * self.temperature**2
        return supervised + scale * ops.mean(distance)

    def after_update(self):
        pairs = zip(self.teacher.weights, self.student.weights, strict=True)
        for mean, now in pairs:
            mean.assign(self.momentum * mean + (1 - self.momentum) * now)


def make():
    """The compiled model; call it within `strategy.scope()`."""
    model = MeanTeacher()
    model.compile(
        keras.optimizers.Adam(1e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
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
