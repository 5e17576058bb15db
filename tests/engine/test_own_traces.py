"""Models one after the other in a process, as of folds and trials, raise no warning."""

import logging

import keras
import numpy as np
import pytest

import kerascale as ks

X = np.ones((5, 3), "float32")


@pytest.fixture
def said():
    found = []
    handler = logging.Handler()
    handler.emit = lambda record: found.append(record.getMessage())
    logger = logging.getLogger("tensorflow")
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)


def _model():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model = ks.scale(model)
    model.compile("sgd", "mse")
    return model


def test_traces_are_counted_for_each_model_alone(said):
    for _ in range(6):
        model = _model()
        whole = model.predict_on_batch(X)
        np.testing.assert_array_equal(model.predict_on_batch(X[:2]), whole[:2])
        model.evaluate(X, X[:, :1], batch_size=2, verbose=0)
        model.predict(X, batch_size=2, verbose=0)
    assert not [text for text in said if "retracing" in text]


def test_a_model_that_is_traced_again_and_again_is_warned_of(said):
    model = _model()
    # Each time another structure, which no trace is for.
    model.make_predict_function()
    for count in range(1, 7):
        model.predict_function([(X,)] * count)
    assert [text for text in said if "retracing" in text]
