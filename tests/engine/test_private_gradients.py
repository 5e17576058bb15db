"""The gradient of a private step: clipped for each example, noised once."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerascale as ks
from kerascale.engine.step.private import install, method
from kerascale.layers import SelfAttention

CLIP, ROWS = 0.5, 6
RNG = np.random.default_rng(0)


def _vectors():
    x = keras.Input((5,))
    y = ks.layers.Dense(7, activation="gelu", kernel_regularizer="l2")(x)
    return x, keras.layers.Dense(6, activation="tanh", use_bias=False)(y), (5,)


def _pictures():
    x = keras.Input((8, 8, 2))
    y = keras.layers.Conv2D(9, 3, strides=2, padding="same", activation="relu")(x)
    y = keras.layers.Conv2D(4, (2, 3), activation="relu", use_bias=False)(y)
    # A large kernel on a small image: by products of positions.
    y = keras.layers.Conv2D(30, 2, padding="same", activation="tanh")(y)
    return x, keras.layers.Flatten()(y), (8, 8, 2)


def _sequences():
    x = keras.Input((4, 6))
    y = keras.layers.LayerNormalization()(x)
    y = ks.layers.PositionEmbedding(5)(SelfAttention(2)(y))
    y = keras.layers.Dense(60, activation="relu")(y)
    return x, keras.layers.GlobalAveragePooling1D()(y), (4, 6)


def _words():
    x = keras.Input((6,), dtype="int32")
    y = keras.layers.Embedding(5, 4)(x) + ks.layers.TokenEmbedding(5, 4)(x)
    return x, keras.layers.Flatten()(y), None


def _shared():
    """One layer that is called twice."""
    x = keras.Input((5,))
    dense = keras.layers.Dense(5, activation="tanh")
    return x, dense(dense(x)), (5,)


def _recurrent():
    x = keras.Input((4, 3))
    return x, keras.layers.LSTM(5)(x), (4, 3)


def _without_formulas():
    x = keras.Input((4, 3))
    return x, keras.layers.EinsumDense("abc,cde->ade", (5, 2))(x)[:, 0], (4, 3)


MODELS = [_vectors, _pictures, _sequences, _words, _shared]


def _made(make, noise=0.0, key=(1, 2)):
    keras.utils.set_random_seed(1)
    x, y, shape = make()
    outputs = keras.layers.Dense(3, activation="softmax")(y)
    model = ks.scale(keras.Model(x, outputs))
    model.compile(
        keras.optimizers.SGD(1.0),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    if shape is None:
        data = RNG.integers(0, 5, (ROWS, 6))
    else:
        data = RNG.normal(size=(ROWS, *shape)).astype("float32")
    install.refuse_unfit(model)
    reason = install.tap(model, tf.constant(data))
    variable = tf.Variable(list(key), dtype=tf.int64, trainable=False)
    beside = not (reason and install.has_loops(model, tf.constant(data)))
    assert beside == (make is not _recurrent)
    own = method.PrivateMethod(CLIP, noise, ROWS, variable, not reason, beside)
    method.attach(model, own)
    return model, data, RNG.integers(0, 3, ROWS), reason


def _step(model, x, y, weight=None):
    """What one step takes from the weights."""
    before = [v.numpy() for v in model.trainable_variables]
    model.train_on_batch(x, y, weight)
    found = [
        b - v.numpy() for b, v in zip(before, model.trainable_variables, strict=True)
    ]
    for variable, value in zip(model.trainable_variables, before, strict=True):
        variable.assign(value)
    return found


def _flat(arrays):
    return np.concatenate([np.ravel(a) for a in arrays])


def _one_by_one(model, x, y):
    """The same by a tape for each example, in plain TensorFlow."""
    total, norms = 0, []
    for i in range(len(x)):
        with tf.GradientTape() as tape:
            outputs = model(x[i : i + 1], training=True)
            loss = keras.losses.sparse_categorical_crossentropy(y[i : i + 1], outputs)
        found = tape.gradient(loss, [v.value for v in model.trainable_variables])
        flat = _flat([tf.convert_to_tensor(g).numpy() for g in found])
        norms.append(np.linalg.norm(flat))
        total = total + flat * min(1, CLIP / norms[-1])
    penalty = [
        2 * 0.01 * v.numpy() if v.regularizer is not None else np.zeros(v.shape)
        for v in model.trainable_variables
    ]
    return total / len(x) + _flat(penalty), norms


@pytest.mark.parametrize(
    "make",
    [
        *MODELS,
        pytest.param(_without_formulas, marks=pytest.mark.slow),
        pytest.param(_recurrent, marks=pytest.mark.slow),
    ],
    ids=lambda f: f.__name__[1:],
)
def test_the_step_is_the_mean_of_clipped_gradients(make):
    model, x, y, reason = _made(make)
    assert bool(reason) == (make in (_recurrent, _without_formulas)), reason
    expected, norms = _one_by_one(model, x, y)
    assert min(norms) < CLIP < max(norms) or min(norms) > CLIP
    np.testing.assert_allclose(_flat(_step(model, x, y)), expected, atol=2e-6)


def test_no_example_moves_the_sum_by_more_than_the_clip():
    """Neighbouring data sets: with an example, and without it."""
    model, x, y, _ = _made(_pictures)
    for size in (1e-3, 1.0, 1e4):
        data = x.copy()
        data[2] *= size
        without = np.ones(ROWS)
        # A row that does not count: it fills the batch up.
        without[2] = -1
        ones = np.ones(ROWS)
        order = [0, 1, 3, 4, 5, 2]
        whole = _flat(_step(model, data[order], y[order], ones[order]))
        rest = _flat(_step(model, data[order], y[order], without[order]))
        moved = np.linalg.norm(whole - rest) * ROWS
        assert moved <= CLIP * (1 + 1e-5), size
        if size == 1e4:
            assert moved > 0.99 * CLIP


def test_noise_has_its_size_and_never_comes_twice():
    model, x, y, _ = _made(_pictures)
    plain = _flat(_step(model, x, y))
    noisy, x, y, _ = _made(_pictures, noise=2.0)
    model.set_weights(noisy.get_weights())
    plain = _flat(_step(model, x, y))
    first = _flat(_step(noisy, x, y)) - plain
    again = _flat(_step(noisy, x, y)) - plain
    expected = 2.0 * CLIP / ROWS
    for noise in (first, again):
        assert abs(noise.std() / expected - 1) < 0.1
        assert abs(noise.mean()) < 4 * expected / len(noise) ** 0.5
    assert abs(np.corrcoef(first, again)[0, 1]) < 0.1
    other, *_ = _made(_pictures, noise=2.0, key=(1, 3))
    other.set_weights(noisy.get_weights())
    assert not np.allclose(_flat(_step(other, x, y)) - plain, first)


def test_what_mixes_examples_is_refused():
    x = keras.Input((5,))
    model = ks.scale(keras.Model(x, keras.layers.BatchNormalization()(x)))
    model.compile("sgd", "mse")
    with pytest.raises(ks.RefusedError, match="without BatchNormalization"):
        install.refuse_unfit(model)

    class Mean(keras.layers.Layer):
        def call(self, inputs):
            return inputs - keras.ops.mean(inputs, axis=0, keepdims=True)

    model = ks.scale(keras.Model(x, keras.layers.Dense(2)(Mean()(x))))
    model.compile("sgd", "mse")
    with pytest.raises(ks.RefusedError, match="depend on the other rows"):
        install.tap(model, tf.random.normal((6, 5)))
