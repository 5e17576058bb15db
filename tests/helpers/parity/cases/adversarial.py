"""Training on examples that are changed against the model."""

import keras
from building import EXAMPLES, classes, mlp, numbers, scaled, trained
from registry import case

from kerascale.layers import Dropout
from kerascale.trust.adversarial import adversarial
from kerascale.trust.attacks.ball import Ball


def _ball(norm, epsilon):
    return Ball(norm, epsilon, scale=2.0, low=-3.0, high=3.0)


# Validated too, from the examples themselves; the last batch has one example.
@case(
    "adversarial training: PGD in the inf norm, rising epsilon, dropout, Adam",
    default=("mirrored:2",),
)
def adversarial_training():
    model = mlp(keras.layers.Dense(8, activation="tanh"), Dropout(0.3, seed=1))
    adversarial(model, _ball("inf", 0.1), steps=3, warmup_batches=20, seed=7)
    return trained(model, optimizer=keras.optimizers.Adam(0.01), validation=True)


@case("adversarial training: PGD in the 2 norm, batch normalization, weighted rows")
def adversarial_training_in_the_2_norm():
    hidden = keras.layers.Dense(8, activation="tanh", kernel_regularizer="l2")
    model = mlp(hidden, keras.layers.BatchNormalization())
    adversarial(model, _ball("2", 0.3), steps=2, seed=7)
    weights = 0.5 + numbers(EXAMPLES, seed=5) ** 2
    return trained(model, fit={"sample_weight": weights})


@case("adversarial training: convolutions, accumulation of two micro-batches")
def adversarial_training_of_pictures():
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            keras.layers.Conv2D(4, 3, activation="tanh"),
            keras.layers.MaxPooling2D(2),
            keras.layers.Flatten(),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    adversarial(scaled(model), _ball("inf", 0.1), steps=2, seed=7)
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9, gradient_accumulation_steps=2)
    x = numbers(EXAMPLES, 6, 6, 1)
    return trained(model, x, classes(EXAMPLES), optimizer=optimizer, validation=True)
