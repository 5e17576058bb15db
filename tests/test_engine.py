"""`Model` and `scale`: plain Keras on one device."""

import keras
import numpy as np
import pytest

import kerascale as ks


def _functional():
    inputs = keras.Input((4,))
    outputs = keras.layers.Dense(3, activation="softmax")(inputs)
    return keras.Model(inputs, outputs)


@pytest.mark.parametrize(
    "make",
    [
        _functional,
        lambda: keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]),
    ],
    ids=["functional", "sequential"],
)
def test_scaled_model_trains_bit_for_bit_as_plain_keras(make):
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    y = np.arange(64) % 3

    def weights(scaled):
        keras.utils.set_random_seed(0)
        model = make()
        if scaled:
            assert ks.scale(model) is model
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(x, y, epochs=3, verbose=0)
        return model.get_weights()

    for ours, theirs in zip(weights(True), weights(False), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_scaled_model_saves_as_plain_keras(tmp_path, run_python):
    model = ks.scale(_functional())
    model.save(tmp_path / "model.keras")
    run_python(
        "import sys; sys.modules['kerascale'] = None; import keras\n"
        "model = keras.saving.load_model(sys.argv[1])\n"
        "assert type(model).__module__.startswith('keras.')",
        tmp_path / "model.keras",
    )


def test_scale_twice_is_once():
    model = ks.scale(_functional())
    before = type(model)
    assert type(ks.scale(model)) is before


def test_scale_refuses_what_is_no_model():
    with pytest.raises(ks.RefusedError, match=r"expected a keras\.Model.*model=3"):
        ks.scale(3)


def test_functional_construction_is_redirected():
    inputs = keras.Input((4,))
    with pytest.raises(ks.RefusedError, match=r"kerascale\.scale\(keras\.Model"):
        ks.Model(inputs, keras.layers.Dense(1)(inputs))

    class Later(ks.Model):
        def call(self, x):
            return x

    with pytest.raises(ks.RefusedError, match=r"Received: Later\(inputs, outputs\)"):
        Later(inputs=inputs, outputs=keras.layers.Dense(1)(inputs))
    # And no class was changed by the attempt.
    assert Later()(np.zeros((1, 2))).shape == (1, 2)
    assert ks.models.MLP(3)(np.zeros((1, 2))).shape == (1, 3)


def test_several_replicas_are_refused(run_python):
    run_python(
        """
import keras, numpy as np, pytest, tensorflow as tf
import kerascale as ks
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    model = ks.scale(keras.Sequential([keras.layers.Dense(1)]))
    model.compile("sgd", "mse")
with pytest.raises(ks.RefusedError, match="2 replicas of MirroredStrategy"):
    model.fit(np.zeros((4, 2)), np.zeros((4, 1)), verbose=0)
"""
    )
