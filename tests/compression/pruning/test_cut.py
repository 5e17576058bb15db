"""What is cut out changes no answer."""

import keras
import numpy as np
import pytest

import kerascale as ks
from kerascale.compression.pruning import Pruning, cut


@pytest.fixture(scope="module")
def digits():
    train = ks.datasets.read("digits").train
    return (train.features[:320] / 16).astype("float32"), train.labels[:320]


def _sequential():
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(8, 3, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.MaxPooling2D(2),
            layers.Conv2D(6, 2, activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(20, activation="tanh"),
            layers.Dense(10, activation="softmax"),
        ]
    )


def _cnn():
    return ks.models.CNN(10, filters=(8, 12), dense_units=16, dropout=0.1)


def _mlp():
    return ks.models.MLP(10, units=(32, 16))


@pytest.mark.parametrize(
    "make",
    [
        _sequential,
        pytest.param(_cnn, marks=pytest.mark.slow),
        pytest.param(_mlp, marks=pytest.mark.slow),
    ],
)
def test_a_cut_model_gives_the_same_answers(digits, make):
    keras.utils.set_random_seed(0)
    model = make()
    model.build((None, 8, 8, 1))
    loss = "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    pruning = Pruning(0.5, end=12, structure="units")
    model.fit(*digits, epochs=2, verbose=0, callbacks=[pruning])
    smaller = cut(model)
    x = digits[0]
    np.testing.assert_allclose(
        smaller.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-5
    )
    assert smaller.count_params() < 0.5 * model.count_params()
    # It can be trained on, with its own optimizer.
    smaller.fit(*digits, epochs=1, verbose=0)
    assert type(smaller).__name__ == type(model).__name__


def test_models_without_a_chain_are_refused():
    model = ks.models.CNN(10, filters=(8,), residual=True)
    model.build((None, 8, 8, 1))
    with pytest.raises(ks.RefusedError, match="Received: a residual CNN"):
        cut(model)
    other = keras.Sequential(
        [
            keras.Input((8, 4)),
            keras.layers.Dense(4),
            keras.layers.LSTM(4),
            keras.layers.Dense(2),
        ]
    )
    with pytest.raises(ks.RefusedError, match="Received: LSTM"):
        cut(other)
