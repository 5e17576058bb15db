"""LSTM and GRU in a form of their own: the numbers are Keras' own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerascale as ks

PAIRS = {
    "lstm": (ks.layers.LSTM, keras.layers.LSTM),
    "gru": (ks.layers.GRU, keras.layers.GRU),
}
# One of them where a test takes long.
QUICK = ["lstm", pytest.param("gru", marks=pytest.mark.slow)]
BATCH, LENGTH, FEATURES, UNITS = 4, 7, 3, 5


@pytest.fixture
def is_keras_loop(monkeypatch):
    """A list of one entry for each call of the loop of Keras' own layers."""
    calls = []
    inner_loop = keras.layers.RNN.inner_loop

    def counted(*arguments, **options):
        calls.append(1)
        return inner_loop(*arguments, **options)

    monkeypatch.setattr(keras.layers.RNN, "inner_loop", counted)
    return calls


def _pair(kind, wrap=lambda layer: layer, **options):
    layers = [wrap(make(UNITS, **options)) for make in PAIRS[kind]]
    random = np.random.default_rng(0)
    for layer in layers:
        layer.build((BATCH, LENGTH, FEATURES))
    weights = [random.normal(size=w.shape) for w in layers[1].weights]
    for layer in layers:
        layer.set_weights(weights)
    return layers


def _inputs(dtype="float32", num_states=0):
    random = np.random.default_rng(1)
    shapes = [(BATCH, LENGTH, FEATURES)] + [(BATCH, UNITS)] * num_states
    return [tf.constant(random.normal(size=shape), dtype) for shape in shapes]


def _share(y):
    """Numbers that are all others; not drawn, which XLA does in another way."""
    places = tf.range(tf.size(y, tf.int64), dtype=tf.int64)
    return tf.reshape(tf.sin(tf.cast(places + 1, tf.float64)), tf.shape(y))


def _trained(layer, inputs, mask=None):
    """Outputs, and gradients for inputs and weights of a sum with other shares."""
    x, *states = inputs
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        options = {"initial_state": states} if states else {}
        found = tf.nest.flatten(layer(x, mask=mask, training=True, **options))
        total = tf.add_n(
            [tf.reduce_sum(tf.cast(y, tf.float64) * _share(y)) for y in found]
        )
    return [*found, *tape.gradient(total, [*inputs, *layer.trainable_variables])]


def _compiled(*arguments):
    return tf.function(_trained, jit_compile=True, autograph=False)(*arguments)


def _assert_equal(found, expected, tolerance):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        one, other = tf.cast(one, tf.float64), tf.cast(other, tf.float64)
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


MASKS = {
    "padding everywhere": [
        [0, 0, 1, 1, 1, 1, 1],
        [1, 1, 1, 1, 0, 0, 0],
        [0, 1, 0, 0, 1, 1, 0],
        [0, 0, 0, 0, 0, 0, 0],
    ],
    "all False": [[0] * LENGTH] * BATCH,
    "all True": [[1] * LENGTH] * BATCH,
}
OPTIONS = {
    "plain": {},
    "sequences": {"return_sequences": True},
    "states": {"return_state": True},
    "all": {"return_sequences": True, "return_state": True},
    "backwards": {"go_backwards": True, "return_sequences": True},
    "no bias": {"use_bias": False},
    "zeros": {"zero_output_for_mask": True, "return_sequences": True},
}


# By default each layer gives all that it can, and each option is met once.
_MET = {
    *((kind, "all") for kind in PAIRS),
    ("lstm", "backwards"),
    ("lstm", "zeros"),
    ("gru", "no bias"),
}
_OPTIONS = [
    pytest.param(
        kind, options, marks=[] if (kind, options) in _MET else pytest.mark.slow
    )
    for kind in PAIRS
    for options in OPTIONS
]


@pytest.mark.parametrize(("kind", "options"), _OPTIONS)
def test_outputs_and_gradients(kind, options, is_keras_loop):
    ours, theirs = _pair(kind, dtype="float64", **OPTIONS[options])
    # A first state shows what becomes of an output before the first step.
    inputs = _inputs("float64", num_states=len(theirs.state_size))
    mask = tf.constant(MASKS["padding everywhere"]) > 0
    found = _compiled(ours, inputs, mask)
    assert not is_keras_loop
    _assert_equal(found, _trained(theirs, inputs, mask), 1e-12)


@pytest.mark.parametrize("kind", QUICK)
def test_single_precision_without_a_mask(kind, is_keras_loop):
    ours, theirs = _pair(kind)
    found = _compiled(ours, _inputs())
    assert not is_keras_loop
    _assert_equal(found, _trained(theirs, _inputs()), 1e-5)


@pytest.mark.parametrize("kind", list(PAIRS))
def test_masks_and_sizes_that_are_not_known_when_traced(kind, is_keras_loop):
    ours, theirs = _pair(kind, return_sequences=True, return_state=True)
    compiled = tf.function(
        lambda x, mask: _trained(ours, [x], mask),
        input_signature=[
            tf.TensorSpec([None, None, FEATURES]),
            tf.TensorSpec([None, None], tf.bool),
        ],
        jit_compile=True,
        autograph=False,
    )
    for mask in MASKS.values():
        is_keras_loop.clear()
        found = compiled(*_inputs(), tf.constant(mask) > 0)
        assert not is_keras_loop
        expected = _trained(theirs, _inputs(), tf.constant(mask) > 0)
        _assert_equal(found, expected, 1e-5)


@pytest.mark.parametrize("kind", QUICK)
def test_bidirectional(kind, is_keras_loop):
    mask = tf.constant(MASKS["padding everywhere"]) > 0
    options = {"return_sequences": True, "return_state": True}
    ours, theirs = _pair(kind, keras.layers.Bidirectional, **options)
    found = _compiled(ours, _inputs(), mask)
    assert not is_keras_loop
    _assert_equal(found, _trained(theirs, _inputs(), mask), 1e-5)


FALLBACKS = {
    "dropout": {"dropout": 0.5},
    "recurrent dropout": {"recurrent_dropout": 0.5},
    "activation": {"activation": "relu"},
    "recurrent activation": {"recurrent_activation": "hard_sigmoid"},
    "unrolled": {"unroll": True},
    "stateful": {"stateful": True},
    "bfloat16": {"dtype": "mixed_bfloat16"},
    "float16": {"dtype": "mixed_float16"},
}


def _operations(layer, training, jit_compile):
    def call(x):
        return layer(x, training=training)

    traced = tf.function(
        call, autograph=False, jit_compile=jit_compile
    ).get_concrete_function(_inputs()[0])
    return [op.type for op in traced.graph.get_operations()]


@pytest.mark.parametrize("option", list(FALLBACKS))
@pytest.mark.parametrize("kind", QUICK)
def test_what_is_done_as_keras_does_it(kind, option):
    ours, theirs = _pair(kind, **FALLBACKS[option])
    assert _operations(ours, True, True) == _operations(theirs, True, True)


def test_reset_gate_before_the_product_is_done_as_keras_does_it():
    ours, theirs = _pair("gru", reset_after=False)
    assert _operations(ours, True, True) == _operations(theirs, True, True)


@pytest.mark.parametrize("kind", list(PAIRS))
def test_outside_of_xla_and_in_inference_operations_are_those_of_keras(kind):
    ours, theirs = _pair(kind)
    for training, jit_compile in ((False, False), (False, True), (True, False)):
        found = _operations(ours, training, jit_compile)
        assert found == _operations(theirs, training, jit_compile)
    assert _operations(ours, True, True) != _operations(theirs, True, True)


def test_on_other_devices_operations_are_those_of_keras(monkeypatch):
    ours, theirs = _pair("lstm")
    gpu = tf.config.LogicalDevice("GPU:0", "GPU")
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda *_: [gpu])
    assert _operations(ours, True, True) == _operations(theirs, True, True)


def _model(make, **options):
    keras.utils.set_random_seed(1)
    ids = keras.Input((None,), dtype="int32")
    y = keras.layers.Embedding(20, 6, mask_zero=True)(ids)
    y = keras.layers.Bidirectional(make(UNITS, return_sequences=True))(y)
    outputs = keras.layers.Dense(2, activation="softmax")(make(UNITS)(y))
    model = keras.Model(ids, outputs)
    model.compile(
        keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", **options
    )
    return model


def _data():
    random = np.random.default_rng(2)
    return random.integers(0, 20, (64, 9)), random.integers(0, 2, 64)


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(PAIRS))
def test_fit_in_one_program_is_that_of_keras(kind):
    ours, theirs = (
        _model(make, jit_compile=True, steps_per_execution=4) for make in PAIRS[kind]
    )
    start = theirs.get_weights()
    histories = []
    for model in (ours, theirs):
        model.set_weights(start)
        fit = ks.scale(model).fit
        histories.append(fit(*_data(), batch_size=8, epochs=3, verbose=0).history)
    np.testing.assert_allclose(histories[0]["loss"], histories[1]["loss"], rtol=1e-4)
    assert histories[0]["loss"][-1] < histories[0]["loss"][0]


@pytest.mark.parametrize("kind", QUICK)
def test_weights_and_files_move_between_them(kind, tmp_path):
    ours, theirs = (_model(make) for make in PAIRS[kind])
    x = _data()[0]
    theirs.set_weights(ours.get_weights())
    expected = ours.predict(x, verbose=0)
    np.testing.assert_array_equal(expected, theirs.predict(x, verbose=0))
    ours.save(tmp_path / "ours.keras")
    loaded = keras.models.load_model(tmp_path / "ours.keras")
    assert type(loaded.layers[-2]) is PAIRS[kind][0]
    np.testing.assert_array_equal(expected, loaded.predict(x, verbose=0))
    ours.save_weights(tmp_path / "ours.weights.h5")
    other = _model(PAIRS[kind][1])
    other.set_weights([np.zeros_like(w) for w in other.get_weights()])
    other.load_weights(tmp_path / "ours.weights.h5")
    np.testing.assert_array_equal(expected, other.predict(x, verbose=0))


@pytest.mark.parametrize("cell", QUICK)
def test_models_that_were_saved_with_the_layers_of_keras(cell, tmp_path, monkeypatch):
    from kerascale.models import rnn

    options = {"units": (4, 3), "cell": cell, "bidirectional": True}
    with monkeypatch.context() as before:
        before.setitem(rnn._CELLS, cell, PAIRS[cell][1])
        old = ks.models.RNN(3, **options)
        expected = old.predict(_inputs()[0], verbose=0)
        old.save(tmp_path / "old.keras")
    new = keras.models.load_model(tmp_path / "old.keras")
    assert type(new.recurrent[0].forward_layer) is PAIRS[cell][0]
    np.testing.assert_array_equal(expected, new.predict(_inputs()[0], verbose=0))


# By default it is the recipe `rnn` that is exported.
@pytest.mark.slow
@pytest.mark.parametrize("kind", QUICK)
def test_saved_model_answers_as_the_model(kind, tmp_path):
    model = _model(PAIRS[kind][0], jit_compile=True)
    x, y = _data()
    model.fit(x, y, batch_size=16, verbose=0)
    model.export(tmp_path / "model", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "model")
    served = loaded.serve(tf.constant(x, tf.int32))
    np.testing.assert_allclose(served, model.predict(x, verbose=0), atol=1e-6)


DETERMINISM = """
import keras, numpy as np, tensorflow as tf
import kerascale as ks

tf.config.experimental.enable_op_determinism()
results = []
for _ in range(2):
    keras.utils.set_random_seed(1)
    layers = [ks.layers.LSTM(5, return_sequences=True), ks.layers.GRU(5)]
    model = ks.scale(keras.Sequential([*layers, keras.layers.Dense(1)]))
    model.compile("adam", "mse", jit_compile=True, steps_per_execution=4)
    x = np.random.default_rng(0).normal(size=(64, 9, 3)).astype("float32")
    model.fit(x, x[:, 0, :1], batch_size=16, epochs=4, verbose=0)
    results.append(b"".join(w.tobytes() for w in model.get_weights()))
assert results[0] == results[1]
"""


@pytest.mark.slow
def test_two_runs_have_the_same_bits(run_python):
    run_python(DETERMINISM, imported=True)


MIRRORED = """
import keras, numpy as np, tensorflow as tf
import kerascale as ks

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2
)
x = np.random.default_rng(0).normal(size=(64, 9, 3)).astype("float32")
results = []
for module, strategy in (
    (ks.layers, tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])),
    (keras.layers, tf.distribute.get_strategy()),
):
    keras.utils.set_random_seed(1)
    with strategy.scope():
        layers = [module.LSTM(5, return_sequences=True), module.GRU(5)]
        model = ks.scale(
            keras.Sequential([keras.Input((9, 3)), *layers, keras.layers.Dense(1)])
        )
        model.compile("sgd", "mse", jit_compile=True)
    model.fit(x, x[:, 0, :1], batch_size=16, epochs=2, verbose=0)
    results.append(model.get_weights())
for one, other in zip(*results):
    np.testing.assert_allclose(one, other, atol=1e-5)
"""


@pytest.mark.slow
def test_two_replicas_that_are_compiled_learn_as_one_device(run_python):
    run_python(MIRRORED, imported=True)


def test_the_model_of_recurrent_layers_uses_them():
    for cell, (ours, _) in PAIRS.items():
        layer = ks.models.RNN(2, cell=cell).recurrent[0]
        assert type(layer) is ours
        assert layer.use_cudnn is False
