"""The numbers of fake quantization are those of integers, and gradients pass."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerascale as ks
from kerascale.compression.formats import rounding
from kerascale.compression.quantization import (
    QuantizeAware,
    fake,
    folded,
    layers,
    learning,
)


def test_weights_are_those_of_the_integers_that_are_kept():
    kernel = np.random.default_rng(0).normal(size=(3, 3, 4, 6)).astype("float32")
    kernel[..., 2] = 0  # A channel that is pruned.
    on_grid = fake.weights(tf.constant(kernel), (0, 1, 2)).numpy()
    integers, scale = rounding.to_int8(kernel, -1)
    np.testing.assert_array_equal(on_grid, integers * scale)
    # What is on the grid is kept by the same integers.
    again, _ = rounding.to_int8(on_grid, -1)
    np.testing.assert_array_equal(again, integers)


def test_activations_have_256_values_and_zero():
    """As TensorFlow's own operation, whose formula is that of the paper."""
    x = np.linspace(-3, 5, 1001).astype("float32")
    low, high = -1.3, 2.9
    ours = fake.activations(tf.constant(x), low, high).numpy()
    theirs = tf.quantization.fake_quant_with_min_max_args(x, low, high).numpy()
    step = np.float32((high - low) / 255)
    # Where x is between two steps, one may round up where the other rounds down.
    assert np.abs(ours - theirs).max() < 1.01 * step
    assert (np.abs(ours - theirs) > step / 2).mean() < 0.01
    assert len(np.unique(ours)) == 256
    assert 0 in ours
    lowest, highest = fake.nudged(low, high)
    assert (ours.min(), ours.max()) == pytest.approx((lowest, highest))
    unknown = fake.activations(tf.constant(x), 0.0, 0.0)
    np.testing.assert_array_equal(unknown, x)


def test_gradients_pass_where_nothing_is_clipped():
    x = tf.constant([-2.0, -0.5, 0.3, 4.0])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(fake.activations(x, -1.0, 1.0) * [1.0, 2.0, 3.0, 4.0])
    np.testing.assert_array_equal(tape.gradient(y, x), [0, 2, 3, 0])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(fake.weights(x[:, None], [0])[:, 0] * [1.0, 2.0, 3.0, 4.0])
    np.testing.assert_array_equal(tape.gradient(y, x), [1, 2, 3, 4])


@pytest.fixture(scope="module")
def digits():
    train = ks.datasets.read("digits").train
    return (train.features[:320] / 16).astype("float32"), train.labels[:320]


def network():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.MaxPooling2D(2),
            keras.layers.Flatten(),
            keras.layers.Dense(16, activation="gelu"),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model = ks.scale(model)
    loss = "sparse_categorical_crossentropy"
    model.compile("adam", loss, metrics=["accuracy"])
    return model


@pytest.fixture(scope="module")
def trained(digits):
    """A model, what it learned, and how it answered in its last validation."""
    model, aware = network(), QuantizeAware(begin=15)
    fit = {"epochs": 3, "verbose": 0, "validation_data": digits}
    history = model.fit(*digits, callbacks=[aware], **fit).history
    return model, aware.ranges, history


def test_ranges_are_moving_averages(digits):
    x, y = digits
    model, aware = network(), QuantizeAware()
    # At a rate of zero each batch of an order sees the same model.
    model.optimizer.learning_rate = 0.0
    model.fit(x, y, batch_size=80, shuffle=False, verbose=0, callbacks=[aware])
    dense = model.layers[3]
    sub = keras.Model(model.inputs[0], model.layers[0].output)
    lows, highs = zip(
        *((o.min(), o.max()) for o in np.split(np.array(sub(x)), 4)), strict=True
    )
    number = aware.ranges.names.index(f"{model.layers[0].name} outputs")
    # The first step has no ranges yet; so few that their average is a plain mean.
    assert aware.ranges.highs[number] == pytest.approx(np.mean(highs), rel=2e-2)
    assert aware.ranges.lows[number] == pytest.approx(0.0)
    assert min(lows) == 0
    assert f"{dense.name} inputs" in aware.ranges.names


def test_grids_stand_where_integer_kernels_begin_and_end(trained):
    model, ranges, _ = trained
    conv, dense, last = (model.layers[i].name for i in (0, 3, 5))
    # Pooling gives what it is given; gelu does not: the next kernel has inputs of its
    # own, and this one ends in front of it.
    assert set(ranges.known) == {
        f"{conv} inputs",
        f"{conv} outputs",
        f"{dense} outputs",
        f"{last} inputs",
        f"{last} outputs",
    }
    assert ranges.known[f"{dense} outputs"][0] < -0.2
    # As dropout scales it.
    assert -0.25 < ranges.known[f"{last} inputs"][0] < -0.1


def test_what_is_left_is_a_plain_model_on_its_grids(trained, digits, tmp_path):
    model, ranges, history = trained
    assert learning.of(model) is None
    assert len(model.optimizer.variables) == 2 + 2 * len(model.trainable_weights)
    for layer in model.layers:
        assert layers._PART not in vars(layer)
    x, y = digits
    plain = model.predict(x, verbose=0)
    with ranges.applied(model):
        quantized = model.predict(x, verbose=0)
        loss, accuracy = model.evaluate(x, y, verbose=0)
    np.testing.assert_array_equal(model.predict(x, verbose=0), plain)
    assert 1e-4 < np.abs(plain - quantized).max() < 0.2
    # Validation has the ranges that are kept, and the weights on their grids.
    assert history["val_loss"][-1] == pytest.approx(loss, rel=1e-5)
    assert history["val_accuracy"][-1] == accuracy
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), plain)
    with ranges.applied(ks.scale(loaded)):
        np.testing.assert_array_equal(loaded.predict(x, verbose=0), quantized)


def residual():
    keras.utils.set_random_seed(0)
    x = keras.Input((8, 8, 1))
    y = ks.layers.ResidualBlock(4, name="block")(x)
    y = keras.layers.GlobalAveragePooling2D()(ks.layers.ResidualBlock(4)(y))
    y = keras.layers.Dense(10, activation="softmax")(y)
    model = ks.scale(keras.Model(x, y))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def test_a_normalization_is_folded(digits):
    """The grid is that of what converters make of the kernel, and statistics rest."""
    model, aware = residual(), QuantizeAware(begin=20)
    block = model.get_layer("block")
    seen = []
    look = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(block.second_norm.moving_mean + 0)
    )
    model.execution = "fixed"
    model.fit(*digits, epochs=4, verbose=0, callbacks=[aware, look])
    assert np.abs(seen[1] - seen[0]).max() > 1e-3
    np.testing.assert_allclose(seen[3], seen[1], rtol=1e-4)
    known = set(aware.ranges.known)
    parts = ("first", "second", "shortcut")
    expected = {f"block/{p} {w}" for p in parts for w in ("inputs", "outputs")}
    # What the activation gives is on a grid already.
    assert expected - known == {"block/second inputs"}
    # In front of the activation, which is that of the sum.
    assert aware.ranges.known["block/second outputs"][0] < -0.1
    assert aware.ranges.known["block/first outputs"][0] == 0
    factor = folded.factor(block.first_norm).numpy()
    kernel = block.first.kernel.numpy() * factor
    steps = kernel / (np.abs(kernel).max(axis=(0, 1, 2)) / 127)
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-3)
    x, y = digits
    plain, score = model.predict(x, verbose=0), model.evaluate(x, y, verbose=0)
    with aware.ranges.applied(model):
        quantized = model.predict(x, verbose=0)
        assert model.evaluate(x, y, verbose=0) == pytest.approx(score, abs=0.02)
    assert 1e-4 < np.abs(plain - quantized).max() < 0.2
    np.testing.assert_array_equal(model.predict(x, verbose=0), plain)


def test_steps_before_the_begin_are_plain_ones(digits):
    ways = {}
    for name, callbacks in (("plain", []), ("aware", [QuantizeAware(10, keep=True)])):
        model = network()
        model.execution = "fixed"
        model.fit(*digits, epochs=1, verbose=0, shuffle=False, callbacks=callbacks)
        ways[name] = model.get_weights()
    for a, b in zip(*ways.values(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_cannot_be_quantized_is_refused(digits):
    with pytest.raises(ks.RefusedError, match=r"an integer >= 0\. Received: -1"):
        QuantizeAware(-1)
    x, y = digits
    plain = keras.Sequential([keras.Input((64,)), keras.layers.Dense(10)])
    plain.compile("sgd", "mse")
    with pytest.raises(ks.RefusedError, match=r"Call kerascale.scale\(model\)"):
        plain.fit(x, y, callbacks=[QuantizeAware()])
    norm = keras.layers.BatchNormalization()
    normed = ks.scale(keras.Sequential([keras.Input((64,)), norm]))
    normed.compile("sgd", "mse")
    with pytest.raises(ks.RefusedError, match="2 problems"):
        normed.fit(x, y, callbacks=[QuantizeAware()])
