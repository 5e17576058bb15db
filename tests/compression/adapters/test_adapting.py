"""Adapters change what a model answers, and nothing else of it."""

import copy

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerascale as ks
from kerascale.compression import adapters
from kerascale.compression.adapters import hosts, low_rank

LOSS = "sparse_categorical_crossentropy"


@pytest.fixture(scope="module")
def digits():
    train = ks.datasets.read("digits").train
    return (train.features[:256] / 16).astype("float32"), train.labels[:256]


def network():
    """With every kind of layer that can have adapters, and one that must keep still."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    x = keras.Input((8, 8, 1))
    rows = layers.Reshape((8, 8))(x)
    y = layers.EinsumDense("abc,cde->abde", (None, 2, 3), name="einsum")(rows)
    y = layers.Reshape((8, 6))(y)
    y = layers.Concatenate()([y, layers.Embedding(17, 4)(_levels(x))])
    y = ks.layers.GRU(6, name="gru")(y)
    y = layers.BatchNormalization()(y)
    y = ks.layers.Dense(8, activation="gelu", kernel_regularizer="l2", name="wide")(y)
    y = layers.Dense(10, name="head")(y)
    return keras.Model(x, layers.Activation("softmax")(y))


def _levels(x):
    """The middle pixel of each row, as an integer."""
    return keras.ops.cast(x[:, :, 4, 0] * 16, "int32")


def trained(model, digits, epochs=1, optimizer="adam"):
    model.compile(optimizer, LOSS, metrics=["accuracy"])
    model.execution = "fixed"
    model.fit(*digits, epochs=epochs, verbose=0, shuffle=False)
    return model


def answers(model, digits):
    return np.array(model(digits[0], training=False))


def of(model):
    return [a for x in model._flatten_layers() for a in hosts.adapters_of(x).values()]


@pytest.fixture(scope="module")
def adapted(digits):
    """(a model that has trained its adapters, all weights from before that)."""
    model = ks.scale(network())
    before = [np.array(w) for w in model.weights]
    plain = answers(model, digits)
    # Traced without adapters, which Keras' own would then leave out for good.
    np.testing.assert_allclose(model.predict(digits[0], verbose=0), plain, atol=1e-6)
    adapters.adapt(model, 2, alpha=4.0)
    np.testing.assert_allclose(answers(model, digits), plain, atol=1e-6)
    return trained(model, digits, 2), before


def test_adapters_train_and_nothing_else(adapted, digits):
    model, before = adapted
    own = of(model)
    assert len(own) == 6  # The GRU has two.
    assert len(model.trainable_variables) == 2 * len(own)
    # Iterations, rate, and two moments for each.
    assert len(model.optimizer.variables) == 2 + 4 * len(own)
    ids = {id(v) for adapter in own for v in (adapter.a, adapter.b)}
    rest = [np.array(w) for w in model.weights if id(w) not in ids]
    for old, new in zip(before, rest, strict=True):  # Statistics, too.
        np.testing.assert_array_equal(old, new)
    assert all(np.abs(np.array(v)).max() > 0 for v in model.trainable_variables)
    found = model.predict(digits[0], verbose=0)
    np.testing.assert_allclose(found, answers(model, digits), atol=1e-6)
    assert not model.losses  # The regularizer of a kernel that stays as it is.


def test_a_kernel_is_the_sum(adapted):
    """W + alpha / rank * A B, Hu et al. 2021; of any axes."""
    model, _ = adapted
    layer = model.get_layer("einsum")
    adapter = hosts.adapters_of(layer)["kernel"]
    change = 2.0 * np.array(adapter.a) @ np.array(adapter.b)
    expected = np.array(adapter.base) + change.reshape(8, 2, 3)
    np.testing.assert_allclose(np.array(layer.kernel), expected, atol=1e-6)


def test_gradients_are_those_of_the_sum():
    random = np.random.default_rng(0)
    x, w, a, b = (
        tf.constant(random.normal(size=shape))
        for shape in ((2, 3, 5), (5, 4), (5, 2), (2, 4))
    )
    found = []
    for is_ours in (True, False):
        with tf.GradientTape() as tape:
            tape.watch([x, a, b])
            if is_ours:
                y = low_rank.affine(x, low_rank.Adapter(a, b, 1.5, w), w, None)
            else:
                y = x @ (w + 1.5 * a @ b)
            loss = tf.reduce_sum(tf.sin(y))
        found.append([y, *tape.gradient(loss, [x, a, b])])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


def test_what_is_saved_as_a_whole_is_plain_keras(adapted, digits, tmp_path, recwarn):
    model, _ = adapted
    model.save(tmp_path / "model.keras")
    plain = keras.saving.load_model(tmp_path / "model.keras")
    for other in (plain, copy.deepcopy(model)):
        assert len(other.trainable_variables) == len(network().trainable_variables)
        found, expected = answers(other, digits), answers(model, digits)
        np.testing.assert_allclose(found, expected, atol=1e-6)
    assert not [w for w in recwarn if "optimizer" in str(w.message)]
    assert len(model.trainable_variables) == 12  # It goes on as it was.


def test_adapters_go_on_after_they_were_saved(adapted, digits, tmp_path):
    """To the same bits; Keras' own have a gradient of zero then."""
    model, before = adapted
    adapters.save(model, tmp_path / "adapter.npz")
    assert (tmp_path / "adapter.npz").stat().st_size < 10_000
    ends = []
    for way in ("file", "weights"):
        again = network()
        again.set_weights(before)
        if way == "file":
            adapters.load(again, tmp_path / "adapter.npz")
        else:
            adapters.adapt(again, 2, alpha=4.0)
            model.save_weights(tmp_path / "model.weights.h5")
            again.load_weights(tmp_path / "model.weights.h5")
        np.testing.assert_array_equal(answers(again, digits), answers(model, digits))
        trained(again, digits, optimizer=keras.optimizers.SGD(0.1))
        ends.append([np.array(v) for v in again.trainable_variables])
    for value, (one, two) in zip(
        model.trainable_variables, zip(*ends, strict=True), strict=True
    ):
        np.testing.assert_array_equal(one, two)
        assert np.abs(one - np.array(value)).max() > 0


def test_merged_it_is_the_model_of_before(adapted, digits, tmp_path):
    model, before = adapted
    again = network()
    again.set_weights(before)
    adapters.save(model, tmp_path / "adapter.npz")
    adapters.load(again, tmp_path / "adapter.npz")
    merged = adapters.merge(again)
    np.testing.assert_allclose(
        answers(merged, digits), answers(model, digits), atol=1e-6
    )
    assert len(merged.weights) == len(before)
    trained(merged, digits)
    changed = [
        np.abs(np.array(w) - b).max() > 0
        for w, b in zip(merged.weights, before, strict=True)
    ]
    assert all(changed)


def test_another_base_is_refused(adapted, tmp_path):
    model, before = adapted
    adapters.save(model, tmp_path / "adapter.npz")
    other = network()
    other.set_weights([b + 1e-6 for b in before])
    with pytest.raises(ks.RefusedError, match="expected the model that they were"):
        adapters.load(other, tmp_path / "adapter.npz")
    content = (tmp_path / "adapter.npz").read_bytes()
    (tmp_path / "adapter.npz").write_bytes(content[:-30])
    with pytest.raises(ks.RefusedError, match=r"adapters\.save wrote"):
        adapters.load(other, tmp_path / "adapter.npz")
    assert not of(other)


def test_what_cannot_have_adapters_is_refused(digits, tmp_path):
    with pytest.raises(ks.RefusedError, match="2 problems"):
        adapters.adapt(network(), 0, alpha=-1.0)
    with pytest.raises(ks.RefusedError, match=r"wide \(kernel, 6 x 8\).*name the lay"):
        adapters.adapt(network(), 7, layers=["wide", "head"])
    with pytest.raises(ks.RefusedError, match=r"Did you mean 'head'|'heat', which"):
        adapters.adapt(network(), 1, layers=["heat"])
    picture = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 3)])
    with pytest.raises(ks.RefusedError, match="without any that has no"):
        adapters.adapt(picture, 1)
    model = adapters.adapt(network(), 1, layers=["head"])
    with pytest.raises(ks.RefusedError, match="Received: one that has some"):
        adapters.adapt(model, 1)
    network().save_weights(tmp_path / "plain.weights.h5")
    with pytest.raises(ValueError, match="expected weights of a model with adapters"):
        model.load_weights(tmp_path / "plain.weights.h5")
    held = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(2, kernel_constraint="max_norm")]
    )
    with pytest.raises(ks.RefusedError, match="without a constraint"):
        adapters.adapt(held, 1)
    with pytest.raises(ks.RefusedError, match="expected a model that has some"):
        adapters.merge(network())
