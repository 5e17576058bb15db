"""`predict` and `evaluate` of arrays: many batches in a call, bits of single ones."""

import keras
import numpy as np
import pytest

import kerascale as ks

X = np.random.default_rng(0).normal(size=(523, 6)).astype("float32")
Y = (X[:, 0] > 0).astype("int32")


class Everything(keras.callbacks.Callback):
    """Wants to be told of each batch, so that they are run one by one."""

    def __init__(self):
        super().__init__()
        self.batches = 0

    def on_test_batch_end(self, batch, logs=None):
        self.batches += 1

    def on_predict_batch_end(self, batch, logs=None):
        self.batches += 1


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    x = keras.Input((6,))
    hidden = keras.layers.Dense(8, activation="relu", kernel_regularizer="l2")(x)
    hidden = keras.layers.BatchNormalization()(hidden)
    out = keras.layers.Dense(2, activation="softmax", name="kind")(hidden)
    model = ks.scale(keras.Model(x, {"kind": out, "sum": keras.ops.sum(out, -1)}))
    model.compile(
        "sgd", {"kind": "sparse_categorical_crossentropy"}, metrics={"kind": "accuracy"}
    )
    return model


def test_predictions_are_those_of_single_batches(model):
    told = Everything()
    one_by_one = model.predict(X, batch_size=4, verbose=0, callbacks=[told])
    assert told.batches == 131
    together = model.predict(X, batch_size=4, verbose=0)
    assert together.keys() == one_by_one.keys()
    for name, values in one_by_one.items():
        np.testing.assert_array_equal(together[name], values)


def test_predictions_of_other_widths_are_ragged_as_by_keras():
    class Square(keras.Model):
        def call(self, x):
            return x[:, : keras.ops.shape(x)[0]]

    ours, plain = (
        m.predict(X[:9], 4, verbose=0) for m in (ks.scale(Square()), Square())
    )
    assert [list(row) for row in ours] == [list(row) for row in plain]
    assert {len(row) for row in ours} == {4, 1}


def test_scores_are_those_of_single_batches(model, tmp_path):
    told = Everything()
    y = {"kind": Y, "sum": X[:, 0]}
    weights = np.linspace(0, 1, len(X)).astype("float32")
    given = {"batch_size": 4, "verbose": 0, "return_dict": True}
    one_by_one = model.evaluate(X, y, **given, callbacks=[told])
    assert told.batches == 131
    assert model.evaluate(X, y, **given) == one_by_one
    # Of Keras alone, which loads it as a model of its own.
    model.save(tmp_path / "model.keras")
    plain = keras.saving.load_model(tmp_path / "model.keras")
    assert plain.evaluate(X, y, **given) == pytest.approx(one_by_one, rel=1e-5)
    weighted = model.evaluate(X, y, **given, sample_weight=weights)
    assert weighted != one_by_one
    again = model.evaluate(X, y, **given, sample_weight=weights, callbacks=[told])
    assert again == weighted


def test_progress_is_shown(model, capsys):
    model.predict(X, batch_size=4, verbose=1)
    model.evaluate(X, {"kind": Y, "sum": X[:, 0]}, batch_size=4, verbose=1)
    assert capsys.readouterr().out.count("131/131") == 2


def test_metrics_that_are_no_sums_are_right():
    class Largest(keras.metrics.Metric):
        def __init__(self):
            super().__init__(name="largest")
            self.value = self.add_weight(shape=(), initializer="zeros", name="value")

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.value.assign(keras.ops.maximum(self.value, keras.ops.max(y_pred)))

        def result(self):
            return self.value

    model = ks.scale(keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)]))
    model.compile("sgd", "mse", metrics=[Largest()])
    scores = model.evaluate(X, Y, batch_size=4, verbose=0, return_dict=True)
    assert scores["largest"] == model.predict(X, batch_size=4, verbose=0).max()


def test_a_layer_that_counts_calls_counts_each_batch():
    class Counts(keras.layers.Layer):
        def build(self, shape):
            self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False)

        def call(self, x):
            self.calls.assign_add(1.0)
            return x

    layer = Counts()
    model = keras.Sequential([keras.Input((6,)), layer, keras.layers.Dense(1)])
    model = ks.scale(model)
    model.compile("sgd", "mse")
    model.evaluate(X, Y, batch_size=4, verbose=0)
    assert float(layer.calls.numpy()) == 131
    model.predict(X, batch_size=4, verbose=0)
    assert float(layer.calls.numpy()) == 262


def test_what_is_drawn_is_drawn_in_the_order_of_the_batches():
    class Draws(keras.Model):
        def __init__(self):
            super().__init__()
            self.dropout = keras.layers.Dropout(0.5, seed=3)

        def call(self, x):
            return self.dropout(x, training=True)

    def predicted(**options):
        model = ks.scale(Draws())
        model.build((None, 6))
        return model.predict(X, batch_size=4, verbose=0, **options)

    one_by_one = predicted(callbacks=[Everything()])
    np.testing.assert_array_equal(predicted(), one_by_one)
    np.testing.assert_array_equal(predicted(), one_by_one)
