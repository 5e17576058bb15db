"""The layers that train in a form of their own: the numbers are Keras' own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerascale.layers import _gradients
from kerascale.layers._trained import Dense, LayerNormalization


def _pair(ours, theirs, shape):
    for layer in (ours, theirs):
        layer.build(shape)
    random = np.random.default_rng(0)
    weights = [random.normal(size=w.shape) for w in theirs.weights]
    ours.set_weights(weights)
    theirs.set_weights(weights)
    return ours, theirs


def _trained(layer, x, upstream, **options):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, **options)
    return [y, *tape.gradient(y, [x, *layer.trainable_variables], upstream)]


_LAYERS = {
    "dense": (lambda layer, **o: layer(8, **o), Dense, keras.layers.Dense),
    "gelu": (
        lambda layer, **o: layer(8, activation="gelu", **o),
        Dense,
        keras.layers.Dense,
    ),
    "relu": (
        lambda layer, **o: layer(8, activation="relu", **o),
        Dense,
        keras.layers.Dense,
    ),
    "no_bias": (
        lambda layer, **o: layer(8, use_bias=False, **o),
        Dense,
        keras.layers.Dense,
    ),
    "norm": (
        lambda layer, **o: layer(epsilon=1e-5, **o),
        LayerNormalization,
        keras.layers.LayerNormalization,
    ),
}


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("shape", [(6, 5), (3, 4, 5)])
@pytest.mark.parametrize("name", list(_LAYERS))
def test_outputs_and_gradients(name, shape, jit_compile):
    make, ours, theirs = _LAYERS[name]
    ours, theirs = _pair(make(ours), make(theirs), (None, *shape[1:]))
    random = np.random.default_rng(1)
    x = tf.constant(random.normal(2, 3, size=shape), tf.float32)
    upstream = tf.constant(random.normal(size=theirs(x).shape), tf.float32)
    run = tf.function(_trained, jit_compile=jit_compile, autograph=False)
    found = run(ours, x, upstream, training=True)
    expected = _trained(theirs, x, upstream)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("units", [1, 10, 100])
def test_the_gradient_of_a_kernel(units, jit_compile):
    # It is computed in two ways; and has a gradient itself.
    random = np.random.default_rng(0)
    x, y, weights = (
        tf.constant(random.normal(size=shape))
        for shape in ((6, 5), (6, units), (5, units))
    )

    @tf.function(jit_compile=jit_compile, autograph=False)
    def computed(product):
        with tf.GradientTape() as tape:
            tape.watch((x, y))
            found = product(x, y)
            total = tf.reduce_sum(weights * found)
        return found, tape.gradient(total, (x, y))

    ours = computed(lambda x, y: _gradients.kernel_gradient(x, y))
    plain = computed(lambda x, y: tf.matmul(x, y, transpose_a=True))
    for one, other in zip(*map(tf.nest.flatten, (ours, plain)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float64"])
def test_other_dtypes(policy):
    for name, (make, ours, theirs) in _LAYERS.items():
        ours, theirs = _pair(
            make(ours, dtype=policy), make(theirs, dtype=policy), (None, 5)
        )
        x = tf.cast(tf.random.stateless_normal((6, 5), (1, 2)), theirs.compute_dtype)
        upstream = tf.ones_like(theirs(x))
        found = _trained(ours, x, upstream, training=True)
        expected = _trained(theirs, x, upstream)
        tolerance = 3e-2 if policy == "mixed_bfloat16" else 1e-12
        if policy == "float64" and name == "gelu":
            tolerance = 1e-6  # TensorFlow rounds the square root of 2 to float32.
        for one, other in zip(found, expected, strict=True):
            assert one.dtype == other.dtype
            one, other = tf.cast(one, tf.float64), tf.cast(other, tf.float64)
            np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def test_rows_without_variance_and_extreme_inputs():
    layer = LayerNormalization(epsilon=1e-5)
    layer.build((None, 4))
    same = tf.constant([[3.0] * 4, [0.0] * 4])
    y, slope, *_ = _trained(layer, same, tf.ones_like(same), training=True)
    np.testing.assert_array_equal(y, np.zeros((2, 4)))
    assert np.isfinite(slope).all()
    x = tf.constant([-1e4, -40.0, -5.0, 0.0, 5.0, 40.0, 1e4])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = _gradients.gelu(x)
    np.testing.assert_allclose(y, keras.activations.gelu(x), atol=1e-6)
    slope = tape.gradient(y, x)
    np.testing.assert_allclose(slope, [0, 0, 0, 0.5, 1, 1, 1], atol=1e-5)


def test_inference_is_keras_own():
    """What is exported has no operations but those that Keras makes."""
    for make, ours, theirs in _LAYERS.values():
        graphs = []
        for layer in _pair(make(ours), make(theirs), (None, 5)):
            function = tf.function(layer, autograph=False)
            traced = function.get_concrete_function(tf.TensorSpec((None, 5)))
            graphs.append([op.type for op in traced.graph.get_operations()])
        assert graphs[0] == graphs[1]


def test_a_product_that_rounds_is_not_used_for_sums(monkeypatch):
    """As on a GPU or TPU: only the factors of kernels may be rounded there."""
    products = []
    matmul = tf.matmul
    monkeypatch.setattr(_gradients, "_has_exact_products", lambda: False)
    monkeypatch.setattr(
        tf, "matmul", lambda *a, **k: products.append(1) or matmul(*a, **k)
    )
    layer = LayerNormalization(epsilon=1e-5)
    layer.build((None, 4))
    x = tf.random.stateless_normal((6, 4), (1, 2))
    _trained(layer, x, x, training=True)
    assert not products
