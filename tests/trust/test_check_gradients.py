"""Gradients against differences: right ones pass, and planted faults are found."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerascale as ks
from kerascale.cli import main
from kerascale.trust.gradients import numeric

X = np.random.default_rng(0).normal(size=(6, 5))


def _square(fault):
    """`x * |x|` with a gradient of its own, and a fault in it."""

    @tf.custom_gradient
    def square(x):
        def gradient(upstream):
            slope = 2 * tf.abs(x)
            if fault == "sign":
                slope = -slope
            if fault == "factor":
                slope = tf.abs(x)
            if fault == "mask":
                slope = tf.where(x > 0.5, slope, tf.zeros_like(slope))
            if fault == "one element":
                slope = tf.tensor_scatter_nd_update(slope, [[3, 2]], [7.0])
            return upstream * slope

        return x * tf.abs(x), gradient

    return square


class Planted(keras.layers.Layer):
    """A dense layer whose gradient has a fault, or is right."""

    def __init__(self, fault=None, **kwargs):
        super().__init__(**kwargs)
        self.fault = fault

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 4), name="kernel")

    def call(self, x):
        kernel = self.kernel
        if self.fault == "detached":
            kernel = tf.stop_gradient(tf.convert_to_tensor(kernel))
            return tf.matmul(x, kernel) + 0 * tf.reduce_sum(self.kernel)
        return _square(self.fault)(tf.matmul(x, tf.convert_to_tensor(kernel)))


def _model(fault):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((5,), dtype="float64")
    hidden = keras.layers.Dense(6, activation="relu", dtype="float64", name="first")
    planted = Planted(fault, dtype="float64", name="planted")
    last = keras.layers.Dense(3, activation="softmax", dtype="float64", name="last")
    model = keras.Model(inputs, last(planted(hidden(inputs))))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def test_a_function_with_a_gradient_of_its_own():
    assert ks.check_gradients(_square(None), X)
    for fault in ("sign", "factor", "mask"):
        report = ks.check_gradients(_square(fault), X)
        assert not report, fault
        assert report.wrong[0].worst is not None
    report = ks.check_gradients(_square("one element"), X)
    assert report.wrong[0].worst.index == (3, 2)
    assert report.wrong[0].worst.automatic == pytest.approx(
        7 / (2 * abs(X[3, 2])) * report.wrong[0].worst.numeric
    )


def test_a_complex_step_sees_more_digits():
    @tf.custom_gradient
    def almost(x):
        return x * x * x, lambda upstream: upstream * 3 * x * x * (1 + 1e-7)

    report = ks.check_gradients(almost, X)
    assert "complex step" in report.rows[0].where
    assert not report
    exact = ks.check_gradients(lambda x: x * x * x, X)
    assert exact
    assert exact.rows[0].error < 1e-13
    # An absolute value takes complex numbers, and its complex step says nothing.
    assert ks.check_gradients(tf.abs, X)


@pytest.mark.parametrize("fault", [None, "sign", "factor", "mask", "detached"])
def test_a_layer_of_a_users_own(fault):
    x = X + 0.1
    report = ks.check_gradients(Planted(fault, dtype="float64"), x)
    assert bool(report) == (fault is None), report.text()
    if fault == "detached":
        assert report.wrong[0].name.endswith("kernel")


@pytest.mark.parametrize("fault", [None, "factor", "detached"])
def test_a_model_names_the_layer(fault):
    model = _model(fault)
    before = [v.numpy() for v in model.variables]
    optimizer = model.optimizer
    report = ks.check_gradients(model, X, np.arange(6) % 3)
    assert bool(report) == (fault is None), report.text()
    if fault is not None:
        assert report.guilty == ("planted",)
    if fault == "factor":  # Of what comes before, too, and not of what comes after.
        names = {row.name for row in report.wrong}
        assert names == {"first/kernel", "first/bias", "planted/kernel", "input"}
    # The model is as it was, and trains.
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    assert model.optimizer is optimizer
    model.fit(X, np.arange(6) % 3, verbose=0)


def test_a_loss_of_a_users_own():
    def squared(y_true, y_pred):
        return keras.ops.mean((y_true - y_pred) ** 2, axis=-1)

    class Wrong(keras.Loss):
        def call(self, y_true, y_pred):
            weights = tf.stop_gradient(tf.abs(y_pred))
            return keras.ops.mean(weights * (y_true - y_pred) ** 2, axis=-1)

    y = np.random.default_rng(1).normal(size=X.shape)
    assert ks.check_gradients(squared, y, X)
    assert ks.check_gradients(keras.losses.Huber(dtype="float64"), y, X)
    report = ks.check_gradients(Wrong(dtype="float64"), y, X)
    assert [row.name for row in report.wrong] == ["input 1"]


def test_kinks_are_told_from_errors():
    exact = numeric.Precision(2.2e-16)
    gradient = np.array([1.0])

    def at(point):
        def moved(by):
            return float(np.maximum(point + by, 0).sum())

        return numeric.compare(moved, gradient, np.ones(1), moved(0), exact).verdict

    assert at(1.0) == "right"
    assert at(1e-6) == "kink"
    assert at(0.0) == "kink"
    assert at(-1.0) == "wrong"


def test_a_kink_does_not_hide_a_wrong_gradient():
    x = np.array([0.0, 1.0, -1.0])

    @tf.custom_gradient
    def relu(x):
        return tf.nn.relu(x), lambda up: 3.0 * up * tf.cast(x >= 0, x.dtype)

    assert ks.check_gradients(tf.nn.relu, x)
    assert not ks.check_gradients(relu, x)


def test_a_recipe_on_replicas_and_a_fault_of_the_engine(run_python):
    """An odd batch: its slices differ in size."""
    code = """
import os
os.environ["KERASCALE_DEVICES"] = "2"
import kerascale as ks
from kerascale.diagnostics.verify import inject
recipe = ks.load_recipe("mlp")
config = recipe.Config(units=(8,), l2=0.01)
strategy = ks.strategies.get("mirrored")
report = ks.check_gradients(recipe, config=config, strategy=strategy)
assert report, report.text()
assert {row.where for row in report.rows} == {"one device", "2 replicas"}
inject.plant("mean-of-means")
report = ks.check_gradients(recipe, config=config, strategy=strategy)
assert {row.where for row in report.wrong} == {"2 replicas"}, report.text()
assert len(report.wrong) == 4
"""
    run_python(code, imported=True)


def test_one_layer_from_the_command_line(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERASCALE_DEVICES", "1")
    arguments = ["check-gradients", "mlp", "--replicas", "1", "--units", "8"]
    assert main([*arguments, "--layer", "logits", "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["right"] is True
    names = [row["name"].partition("/")[2] for row in found["rows"]]
    assert names[:2] == ["logits/kernel", "logits/bias"]
    assert {row["where"] for row in found["rows"]} == {"one device", "by itself"}
    assert main([*arguments, "--layer", "logit"]) == 2
    assert "Did you mean logits?" in capsys.readouterr().err
    assert main([*arguments, "--examples", "0"]) == 2
    assert keras.config.floatx() == "float32"


def test_a_run_is_checked_at_its_weights(run):
    report = ks.check_gradients(run)
    assert report, report.text()
    assert report.loss < 1.5  # It has learned.


def test_what_cannot_be_checked(recipe):
    model = _model(None)
    with pytest.raises(ks.RefusedError, match="inputs: expected x, y"):
        ks.check_gradients(model)
    with pytest.raises(ks.RefusedError, match="execution: expected loop"):
        ks.check_gradients(recipe, execution="fast")
    with pytest.raises(ks.RefusedError, match="expected inputs with floats"):
        ks.check_gradients(lambda x: x, np.arange(3))

    class Drawing(keras.layers.Layer):
        def call(self, x):
            return x + tf.random.normal(tf.shape(x), dtype=x.dtype)

    inputs = keras.Input((5,), dtype="float64")
    outputs = keras.layers.Dense(3, activation="softmax", dtype="float64")(
        Drawing(dtype="float64")(inputs)
    )
    model = keras.Model(inputs, outputs)
    model.compile("adam", "sparse_categorical_crossentropy")
    with pytest.raises(ks.RefusedError, match="a function of the weights"):
        ks.check_gradients(model, X, np.arange(6) % 3)


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("cnn", "--residual"),
        ("rnn",),
        ("transformer",),
        ("language_model",),
        ("mlp", "--execution", "one_program"),
        ("cnn", "--execution", "split", "--replicas", "1"),
        ("transformer", "--execution", "compiled"),
    ],
)
def test_every_recipe(arguments, kerascale):
    ended = kerascale("check-gradients", *arguments)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
