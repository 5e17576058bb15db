"""Masks choose what is smallest, and hold in any `fit`."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerascale as ks
from kerascale.compression.pruning import Pruning, choice, masks
from kerascale.compression.pruning.plan import cubic


def test_the_schedule_is_cubic():
    """Zhu and Gupta 2017, equation 1, at the times at which masks are chosen."""
    plan = cubic(0.8, begin=100, end=1100, frequency=100)
    assert (plan.begin, plan.end, plan.rates[-1]) == (100, 1000, 0.8)
    halfway = plan.rates[4]  # The fifth of ten.
    assert halfway == pytest.approx(0.8 - 0.8 * 0.5**3)
    assert list(plan.rates) == sorted(plan.rates)
    # Each of the updates may be the only one.
    assert cubic(0.5, begin=7, end=7).rates == (0.5,)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_smallest_are_found(dtype):
    random = np.random.default_rng(0)
    for size in (1, 2, 37, 1000):
        values = np.abs(
            random.normal(size=size) * 10.0 ** random.integers(-20, 20, size)
        )
        values = values.astype(dtype)
        for count in {0, 1, size // 3, size - 1, size}:
            found = choice.smallest(tf.constant(values), tf.constant(count, tf.int64))
            expected = np.zeros(size, bool)
            expected[np.argsort(values)[:count]] = True
            np.testing.assert_array_equal(found, expected)


def test_two_of_four_are_the_largest():
    weights = np.random.default_rng(1).normal(size=(3, 3, 8, 5)).astype("float32")
    groups = 3 * 3 * 2 * 5
    kept = np.array(
        choice.of_fours(tf.constant(weights), tf.constant(groups, tf.int64))
    )
    fours = np.abs(weights).reshape(-1, 4, 5)
    kept = kept.reshape(-1, 4, 5)
    assert (kept.sum(axis=1) == 2).all()
    lost = np.where(kept, 0, fours).max(axis=1)
    assert (lost <= np.where(kept, fours, np.inf).min(axis=1)).all()


@pytest.fixture(scope="module")
def digits():
    train = ks.datasets.read("digits").train
    return (train.features[:320] / 16).astype("float32"), train.labels[:320]


def network(optimizer, **options):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(8, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(16, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    loss = "sparse_categorical_crossentropy"
    model.compile(optimizer, loss, metrics=["accuracy"], **options)
    return model


def kernels(model):
    return [v for v in model.trainable_variables if v.name == "kernel"]


def sparsities(model):
    return [float((v.numpy() == 0).mean()) for v in kernels(model)]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"steps_per_execution": 4},
        pytest.param({"jit_compile": True}, marks=pytest.mark.slow),
    ],
)
def test_masks_hold_in_plain_keras(digits, options):
    """With momentum and weight decay, which would bring weights back."""
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9, weight_decay=1e-3)
    model = network(optimizer, **options)
    # 20 updates, of which pruning takes 3 to 11.
    pruning = Pruning(0.75, begin=3, end=11, keep_masks=True)
    model.fit(*digits, epochs=2, verbose=0, callbacks=[pruning])
    assert sparsities(model) == pytest.approx([0.75] * 3, abs=0.01)
    zeros = [v.numpy() == 0 for v in kernels(model)]
    model.fit(*digits, epochs=1, verbose=0, callbacks=[pruning])
    for before, v in zip(zeros, kernels(model), strict=True):
        np.testing.assert_array_equal(before, v.numpy() == 0)


@pytest.mark.parametrize("scaled", [False, True])
def test_masks_hold_after_each_step(digits, scaled):
    """Not only where they are taken away at the end."""
    model = network(keras.optimizers.SGD(0.05, momentum=0.9))
    if scaled:  # Adam's update of the engine takes a mask in.
        model = ks.scale(network("adam"))
        model.execution = "fixed"
    seen = []
    look = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(sparsities(model))
    )
    pruning = Pruning(0.75, begin=2, end=6)
    model.fit(*digits, epochs=1, verbose=0, callbacks=[pruning, look])
    # From the very update in which they are chosen on: 2, 3, 4 and 5.
    np.testing.assert_allclose(seen[5:], 0.75, atol=0.01)


def test_what_is_left_is_a_plain_model(digits, tmp_path):
    model = ks.scale(network("adam"))
    model.fit(*digits, epochs=2, verbose=0, callbacks=[Pruning(0.5, end=10)])
    # Iterations, rate, and two moments for each.
    assert len(model.optimizer.variables) == 2 + 2 * len(model.trainable_weights)
    assert masks.of(model) is None
    assert all(v.constraint is None for v in kernels(model))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert sparsities(loaded) == sparsities(model)
    # A training that goes on keeps the zeros, if it is told to prune.
    again = Pruning(0.5, end=10)
    loaded.fit(*digits, epochs=1, verbose=0, callbacks=[again])
    assert sparsities(loaded) == pytest.approx([0.5] * 3, abs=0.01)


def test_what_cannot_be_pruned_is_refused(digits):
    with pytest.raises(ks.RefusedError, match="3 problems"):
        Pruning(1.0, begin=5, end=2, frequency=0)
    with pytest.raises(ks.RefusedError, match="above 0 and below 1"):
        Pruning(0.0, end=2)
    unbuilt = keras.Sequential([keras.layers.Dense(2)])
    unbuilt.compile("sgd", "mse")
    with pytest.raises(ks.RefusedError, match=r"Call model.build\(input_shape\)"):
        unbuilt.fit(np.zeros((8, 4)), np.zeros((8, 2)), callbacks=[Pruning(0.5, end=1)])
    sigmoid = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(4, activation="sigmoid"),
            keras.layers.Dense(2),
        ]
    )
    sigmoid.compile("sgd", "mse")
    units = Pruning(0.5, end=1, structure="units")
    with pytest.raises(ks.RefusedError, match=r"which is 0\.5 there"):
        sigmoid.fit(np.zeros((8, 4)), np.zeros((8, 2)), callbacks=[units])
    three = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    three.compile("sgd", "mse")
    fours = Pruning(0.5, end=1, structure="2:4")
    with pytest.raises(ks.RefusedError, match="a multiple of four"):
        three.fit(np.zeros((8, 3)), np.zeros((8, 2)), callbacks=[fours])
