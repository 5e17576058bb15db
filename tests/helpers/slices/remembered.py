"""Trainings of which it is counted how often slices were compared with the batch.

Each function makes a compiled model, and the arguments of `fit`.
"""

import numpy as np
import tensorflow as tf
from helpers.slices.refused import FIT, compiled, sequential
from keras import layers


def _times(number):
    constant = tf.constant(number, tf.float64)
    model = sequential(layers.Lambda(lambda x: x * constant))
    return compiled(model, metrics=["mae"])


def by_two():
    return _times(2.0)


def by_three():
    """Of the same graph, with another constant."""
    return _times(3.0)


def of_no_numbers():
    model, data = by_two()
    return model, {**data, "x": FIT["x"] * np.nan}


CASES = {f.__name__: f for f in (by_two, by_three, of_no_numbers)}
