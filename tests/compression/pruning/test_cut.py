"""What is cut out changes no answer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerascale as ks
from kerascale.compression.pruning import Pruning, choice, cut


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


@pytest.mark.parametrize(
    ("structure", "sizes"),
    [("heads", (2, 24)), pytest.param("units", (4, 12), marks=pytest.mark.slow)],
)
def test_a_cut_transformer_gives_the_same_answers(digits, structure, sizes):
    keras.utils.set_random_seed(0)
    model = ks.models.Transformer(
        10, patch_size=4, width=16, num_heads=4, feedforward_width=24, dropout=0.1
    )
    model.build((None, 8, 8, 1))
    loss = "sparse_categorical_crossentropy"
    # Weight decay and momentum would bring heads back.
    optimizer = keras.optimizers.AdamW(0.01, weight_decay=0.1)
    model.compile(optimizer, loss, metrics=["accuracy"])
    model.execution = "fixed"
    pruning = Pruning(0.5, begin=2, end=12, structure=structure)
    model.fit(*digits, epochs=2, verbose=0, callbacks=[pruning])
    smaller = cut(model)
    block = smaller.stack.blocks[1]
    assert (block.attention.num_heads, block.feedforward_width) == sizes
    x = digits[0]
    np.testing.assert_allclose(smaller(x), model(x), atol=1e-5)
    assert smaller.count_params() < model.count_params()
    config = keras.saving.serialize_keras_object(smaller)
    again = keras.saving.deserialize_keras_object(config)
    again.build((None, 8, 8, 1))
    assert again.count_params() == smaller.count_params()


def test_heads_that_add_least_go():
    random = np.random.default_rng(0)
    made = random.normal(size=(6, 12)).astype("float32")
    taken = random.normal(size=(12, 6)).astype("float32")
    # Large in one of both is not enough.
    made[:, 3:6] *= 10
    taken[3:6] *= 1e-3
    made[:, 6:9] *= 0.5
    count = tf.constant(2, tf.int64)
    kept = np.array(choice.of_heads(tf.constant(made), tf.constant(taken), 4, count))
    np.testing.assert_array_equal(kept, [True, False, False, True])


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
