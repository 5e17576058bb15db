"""Distillation: answers of a teacher in the step, or beside the labels."""

import keras
import numpy as np
from building import EXAMPLES, classes, mlp, numbers, trained
from registry import case

from kerascale.compression.distillation import Teacher, distill
from kerascale.compression.distillation.distill import with_answers


def _teacher():
    """Wide, with statistics that inference must use and keep."""
    x = keras.Input((4,))
    hidden = keras.layers.Dense(16, activation="tanh", kernel_initializer=_drawn(1))(x)
    hidden = keras.layers.BatchNormalization(moving_mean_initializer=_drawn(2))(hidden)
    out = keras.layers.Dense(3, activation="softmax", kernel_initializer=_drawn(3))
    return keras.Model(x, out(hidden))


def _drawn(seed):
    return keras.initializers.RandomNormal(0.0, 1.0, seed=seed)


def _student():
    hidden = keras.layers.Dense(
        8, activation="tanh", kernel_regularizer="l2", activity_regularizer="l1"
    )
    return mlp(hidden, keras.layers.BatchNormalization())


# In the step of replicas, of which one has an empty slice of the last batch.
@case("distillation: two teachers in the step", default=("mirrored:2",))
def distillation():
    return trained(distill(_student(), [_teacher(), _teacher()]), validation=True)


@case("distillation: answers beside the labels, weighted rows")
def distillation_with_answers():
    x, y = numbers(EXAMPLES, 4), classes(EXAMPLES)
    answers = np.array(Teacher(_teacher())(x))
    fit = {
        "sample_weight": np.linspace(0.5, 2.0, EXAMPLES),
        "validation_data": (x[:33], y[:33]),
        "validation_freq": 5,
    }
    student = distill(_student(), None, temperature=2.0, alpha=0.4)
    return trained(student, x, with_answers(y, answers), fit=fit)
