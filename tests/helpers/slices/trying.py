"""What is done with a case on one device and on two, by the module of the case."""

import time

import keras
import numpy as np
import tensorflow as tf

keras.config.set_floatx("float64")
keras.config.set_dtype_policy("float64")

ONE = tf.distribute.get_strategy()


def made(case, strategy):
    """A fresh model of a case, and the arguments of `fit`."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    with strategy.scope():
        return case()


def trained(case, strategy, epochs):
    """Name -> value of what a training left: history, weights, other variables."""
    model, data = made(case, strategy)
    history = model.fit(**data, epochs=epochs, verbose=0).history
    left = {f"{i} {v.path}": np.asarray(v) for i, v in enumerate(model.variables)}
    return {f"history {name}": np.array(v) for name, v in history.items()} | left


def furthest(one, two):
    """The largest relative difference of any value."""
    assert one.keys() == two.keys(), one.keys() ^ two.keys()
    worst = 0.0
    for name, value in one.items():
        assert np.all(np.isfinite(value)), name
        norm = np.abs(value).max()
        worst = max(worst, np.abs(value - two[name]).max() / (norm or 1.0))
    return float(worst)


def coupled(case, strategy, epochs=3):
    """Trains on one device and on two."""
    began = time.process_time()
    one, two = (trained(case, s, epochs) for s in (ONE, strategy))
    return {
        "worst": furthest(one, two),
        "updates": [int(v) for n, v in two.items() if n.endswith("/updates")],
        "seconds": time.process_time() - began,
    }
