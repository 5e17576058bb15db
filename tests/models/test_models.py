"""The contract of every model, and what each of them promises beside it."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerascale import layers, models

BATCH = 8
NUM_CLASSES = 5
VOCABULARY = 11
LENGTH = 6


@dataclasses.dataclass(frozen=True)
class Case:
    """A model class with small arguments, and the inputs it is for."""

    model: type
    inputs: str
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)

    def make(self, **arguments: Any) -> models.Classifier:
        causal = self.model is models.CausalTransformer
        first = VOCABULARY if causal else NUM_CLASSES
        return self.model(first, **{**self.arguments, **arguments})

    def data(self, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Random numbers: only shapes, bits and bounds are tested with them."""
        generator = np.random.default_rng(seed)
        labels = generator.integers(0, NUM_CLASSES, BATCH)
        if self.inputs == "images":
            return generator.random((BATCH, 8, 8, 1), "float32"), labels
        ids = generator.integers(1, VOCABULARY, (BATCH, LENGTH)).astype("int32")
        if self.model is models.CausalTransformer:
            return ids, np.roll(ids, -1, axis=1)
        ids[:, -1] = 0
        return ids, labels

    def built(self, **arguments: Any) -> models.Classifier:
        model = self.make(**arguments)
        model.build((None, *self.data()[0].shape[1:]))
        return model


TRANSFORMER = {"num_layers": 1, "num_heads": 2, "width": 8}
CASES = {
    "mlp": Case(models.MLP, "images", {"units": (8, 8)}),
    "mlp of members": Case(models.MLP, "images", {"units": (8, 8), "members": 3}),
    "cnn": Case(models.CNN, "images", {"filters": (4, 4), "dense_units": 8}),
    "residual cnn": Case(
        models.CNN, "images", {"filters": (4, 6), "residual": True, "dense_units": None}
    ),
    "lstm on rows": Case(models.RNN, "images", {"units": (4,)}),
    "gru on ids": Case(
        models.RNN,
        "ids",
        {
            "units": (4,),
            "cell": "gru",
            "bidirectional": True,
            "vocabulary_size": VOCABULARY,
            "embedding_dim": 4,
        },
    ),
    "transformer on patches": Case(
        models.Transformer, "images", {**TRANSFORMER, "patch_size": 4}
    ),
    "transformer on ids": Case(
        models.Transformer,
        "ids",
        {**TRANSFORMER, "vocabulary_size": VOCABULARY, "positions": "sinusoidal"},
    ),
    "causal transformer": Case(
        models.CausalTransformer, "ids", {**TRANSFORMER, "max_length": 2 * LENGTH}
    ),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


@pytest.fixture(autouse=True)
def _float32():
    yield
    keras.config.set_dtype_policy("float32")


def is_kernel(variable: Any) -> bool:
    return variable.name in ("kernel", "recurrent_kernel")


def kernels(model: keras.Model) -> list[Any]:
    return [weight for weight in model.weights if is_kernel(weight)]


def as_json(layer: Any) -> dict[str, Any]:
    """A configuration as a file holds it, where a tuple is a list."""
    return json.loads(json.dumps(layer.get_config()))


# ---------------------------------------------------------------- the contract


# XLA takes seconds for each: by default one; recurrent
# layers are compiled by their own tests.
_COMPILED = ("mlp",)


@pytest.fixture(
    scope="module",
    params=[
        case if name in _COMPILED else pytest.param(case, marks=pytest.mark.slow)
        for name, case in CASES.items()
    ],
    ids=CASES.keys(),
)
def trained(request, tmp_path_factory) -> dict[str, Any]:
    """A model with every option, trained by `fit` and XLA, saved and loaded."""
    case = request.param
    options = {
        "dropout": 0.1,
        "kernel_initializer": keras.initializers.HeNormal(),
        "kernel_regularizer": keras.regularizers.L2(0.01),
        "kernel_constraint": "non_neg",
    }
    if case.inputs == "images":
        options["normalization"] = keras.layers.Normalization(mean=0.5, variance=0.1)
    keras.utils.set_random_seed(1)
    model = case.make(**options)
    # Momentum: an optimizer with a state, and less of it to compile than Adam's.
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=True)
    inputs, labels = case.data()
    # Not built before: `fit` builds it inside the train step that XLA compiles.
    history = model.fit(inputs, labels, batch_size=BATCH, epochs=2, verbose=0)
    path = tmp_path_factory.mktemp("models") / "model.keras"
    model.save(path)
    return {
        "case": case,
        "model": model,
        "inputs": inputs,
        "losses": history.history["loss"],
        "loaded": keras.saving.load_model(path),
    }


def test_fit_compiled_by_xla(trained):
    assert trained["model"].jit_compile is True
    assert np.all(np.isfinite(trained["losses"]))


def test_keras_file_gives_the_same_bits(trained):
    model, loaded, inputs = trained["model"], trained["loaded"], trained["inputs"]
    assert type(loaded) is type(model)
    np.testing.assert_array_equal(loaded(inputs), model(inputs))
    assert len(loaded.optimizer.variables) == len(model.optimizer.variables)
    for ours, theirs in zip(
        model.optimizer.variables, loaded.optimizer.variables, strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert as_json(loaded) == as_json(model)


def test_batch_is_free(trained):
    whole = trained["model"](trained["inputs"])
    for size in (1, 3):
        part = trained["loaded"](trained["inputs"][:size])
        np.testing.assert_allclose(part, whole[:size], atol=1e-5)


def test_constraint_holds_for_kernels_only(trained):
    for weight in trained["model"].trainable_weights:
        if is_kernel(weight):
            assert np.min(weight) >= 0, weight.path
        else:
            assert weight.constraint is None, weight.path


def test_regularizer_adds_every_kernel_to_the_loss(trained):
    model = trained["model"]
    expected = sum(0.01 * np.sum(np.square(kernel)) for kernel in kernels(model))
    assert len(model.losses) == len(kernels(model))
    np.testing.assert_allclose(np.sum(model.losses), expected, rtol=1e-5)


@every_case
def test_config_round_trip(case):
    model = case.make(
        kernel_regularizer={
            "class_name": "L1",
            "config": {"l1": 0.5},
            "module": "keras.regularizers",
        },
        kernel_constraint=keras.constraints.MaxNorm(3),
        classifier_activation=None,
        dropout=0.25,
        name="mine",
    )
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(model)))
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(model)
    assert again.get_config() == model.get_config()
    assert again.name == "mine"
    assert again.kernels.regularizer.l1 == 0.5


@every_case
def test_built_by_shape_as_by_data(case):
    by_data = case.make()
    by_data(case.data()[0])
    shapes = [weight.shape for weight in case.built().weights]
    assert shapes == [weight.shape for weight in by_data.weights]


@every_case
def test_initializer_is_for_every_kernel(case):
    for kernel in kernels(case.built(kernel_initializer="ones")):
        if kernel.name == "kernel":
            np.testing.assert_array_equal(kernel, np.ones(kernel.shape))
    outputs = case.built(kernel_initializer="zeros")(case.data()[0])
    np.testing.assert_allclose(outputs, np.full(outputs.shape, 1 / outputs.shape[-1]))


@every_case
def test_one_initializer_gives_each_kernel_its_own_values(case):
    model = case.built(kernel_initializer=keras.initializers.GlorotUniform())
    values = [np.array(kernel) for kernel in kernels(model)]
    for index, first in enumerate(values):
        for second in values[:index]:
            assert first.shape != second.shape or not np.array_equal(first, second)


@every_case
def test_seed_decides_weights_and_dropout(case):
    def start(seed: int) -> list[np.ndarray]:
        keras.utils.set_random_seed(seed)
        model = case.built(dropout=0.5)
        outputs = model(case.data()[0], training=True)
        return [np.array(weight) for weight in model.weights] + [np.array(outputs)]

    first, second, other = start(3), start(3), start(4)
    assert all(map(np.array_equal, first, second))
    assert not np.array_equal(first[-1], other[-1])


@every_case
@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("mixed_bfloat16", "float32"),
        ("mixed_float16", "float32"),
        ("float64", "float64"),
    ],
)
def test_dtype_policies(case, policy, expected):
    inputs, _ = case.data()
    keras.config.set_dtype_policy(policy)
    outputs = case.make()(inputs)
    assert outputs.dtype == expected
    np.testing.assert_allclose(np.sum(outputs, -1), np.ones(outputs.shape[:-1]), 1e-5)


@every_case
@pytest.mark.parametrize(
    "policy", [pytest.param("float32", marks=pytest.mark.slow), "mixed_bfloat16"]
)
def test_loss_of_a_huge_logit_is_exact(case, policy):
    """Keras finds the logits behind the softmax: nothing may stand after it."""
    model = case.built(dtype=policy)
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.logits.kernel.assign(np.zeros(model.logits.kernel.shape))
    bias = np.zeros(model.logits.bias.shape)
    bias[..., 0] = 1024.0
    model.logits.bias.assign(bias)
    inputs, labels = case.data()
    # From a probability the loss could be log(1e7) = 16 at most.
    assert model.test_on_batch(inputs, np.ones_like(labels)) == 1024.0
    assert model.test_on_batch(inputs, np.zeros_like(labels)) == 0.0


@every_case
def test_logits(case):
    keras.utils.set_random_seed(0)
    model = case.built()
    logits = case.make(classifier_activation=None)
    logits(case.data()[0])
    logits.set_weights(model.get_weights())
    np.testing.assert_allclose(
        keras.ops.softmax(logits(case.data()[0])), model(case.data()[0]), atol=1e-6
    )


BAD_ARGUMENTS = [
    ({"dropout": 1.0}, r"up to, but not including, 1.*Received: dropout=1\.0"),
    ({"dropout": "much"}, r"Received: dropout='much'"),
    (
        {"kernel_initializer": "foo"},
        r"a `keras\.initializers\.Initializer`.*Received: kernel_initializer='foo'",
    ),
    ({"kernel_initializer": None}, r"Received: kernel_initializer=None"),
    ({"kernel_initializer": lambda shape, dtype: 0}, r"Received: kernel_initializer="),
    ({"kernel_regularizer": 0.1}, r"Received: kernel_regularizer=0\.1"),
    ({"kernel_constraint": "foo"}, r"Received: kernel_constraint='foo'"),
    ({"classifier_activation": "foo"}, r"Received: classifier_activation='foo'"),
    ({"normalization": 255}, r"a `keras\.layers\.Layer`.*Received: normalization=255"),
    ({"foo": 1}, r"Unrecognized keyword arguments .*\{'foo': 1\}"),
]


@every_case
@pytest.mark.parametrize(("arguments", "match"), BAD_ARGUMENTS)
def test_bad_arguments_of_all(case, arguments, match):
    with pytest.raises(ValueError, match=match):
        case.make(**arguments)


@every_case
def test_bad_inputs_of_all(case):
    with pytest.raises(ValueError, match=r"expects one tensor.*\{'x': \(None, 3\)\}"):
        case.make().build({"x": (None, 3)})
    with pytest.raises(ValueError, match=r"Received: input_shape=\(None,\)"):
        case.make().build((None,))
    with pytest.raises(ValueError, match="incompatible with the layer"):
        case.built()(np.zeros((1, 2, 3, 4, 5), "float32"))


@pytest.mark.parametrize("model", [models.MLP, models.CNN, models.RNN])
def test_number_of_classes(model):
    with pytest.raises(ValueError, match=r"positive integer\. Received: num_classes=0"):
        model(0)
    with pytest.raises(ValueError, match=r"A softmax over one class is always 1"):
        model(1)
    assert model(1, classifier_activation="sigmoid").num_classes == 1


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: models.MLP(5, units=128), r"Received: units=128.*units=\(128,\)"),
        (lambda: models.MLP(5, units=(8, 0)), r"Received: units=\(8, 0\)"),
        (lambda: models.MLP(5, activation="foo"), r"Received: activation='foo'"),
        (lambda: models.CNN(5, filters=()), r"non-empty.*Received: filters=\(\)"),
        (lambda: models.CNN(5, residual=1), r"True or False. Received: residual=1"),
        (lambda: models.CNN(5, dense_units=0), r"Received: dense_units=0"),
        (lambda: models.CNN(5, blocks_per_stage=1.5), r"blocks_per_stage=1\.5"),
        (lambda: models.RNN(5, cell="rnn"), r"'gru', 'lstm', 'simple'.*cell='rnn'"),
        (lambda: models.RNN(5, vocabulary_size=-1), r"vocabulary_size=-1"),
        (lambda: models.RNN(5, embedding_dim=True), r"embedding_dim=True"),
        (
            lambda: models.RNN(
                5, vocabulary_size=9, normalization=keras.layers.Rescaling(1)
            ),
            r"`normalization` is for inputs that are numbers",
        ),
        (
            lambda: models.Transformer(5, num_heads=3),
            r"must divide `width`.*num_heads=3 and width=64",
        ),
        (lambda: models.Transformer(5, positions="no"), r"'learned', 'sinusoidal'"),
        (lambda: models.Transformer(5, patch_size=0), r"Received: patch_size=0"),
        (
            lambda: models.Transformer(5, patch_size=2, vocabulary_size=9),
            r"`patch_size` is for inputs that are numbers",
        ),
        (
            lambda: models.CausalTransformer(9, max_length=None),
            r"Pass max_length, or positions=\"sinusoidal\"",
        ),
        (
            lambda: models.CausalTransformer(
                9, max_length=4, normalization=keras.layers.Rescaling(1)
            ),
            r"`normalization` is for inputs that are numbers",
        ),
    ],
)
def test_bad_arguments_of_one(make: Callable[[], Any], match: str):
    with pytest.raises(ValueError, match=match):
        make()


# ------------------------------------------------------------------ the inputs


def test_normalization_comes_first_and_in_the_inputs_own_shape():
    images = np.random.default_rng(0).integers(0, 17, (4, 8, 8, 1)).astype("uint8")
    mean = np.arange(64.0).reshape(8, 8, 1) / 8
    layer = keras.layers.Normalization(axis=(1, 2, 3), mean=mean, variance=mean + 1)
    normalized = ((images - mean) / np.sqrt(mean + 1)).astype("float32")
    for make in (
        lambda **options: models.MLP(5, **options),
        lambda **options: models.RNN(5, units=(3,), **options),
        lambda **options: models.Transformer(5, **TRANSFORMER, **options),
    ):
        with_layer, without = make(normalization=layer), make()
        with_layer(images), without(normalized)
        without.set_weights(with_layer.get_weights())
        np.testing.assert_allclose(with_layer(images), without(normalized), atol=1e-5)


def test_inputs_are_not_rounded_before_normalization():
    layer = keras.layers.Normalization(mean=1e5, variance=1.0, dtype="float32")
    model = models.MLP(5, units=(), normalization=layer, dtype="mixed_bfloat16")
    # bfloat16 holds 8 bits: both would be the same number.
    first, second = model(np.array([[1e5], [1e5 + 1]], "float32"))
    assert not np.array_equal(first, second)


def test_adapted_normalization_is_saved(tmp_path):
    images = 3 + np.random.default_rng(0).random((16, 8, 8, 1), "float32")
    layer = keras.layers.Normalization()
    layer.adapt(images)
    model = models.CNN(5, filters=(2,), normalization=layer)
    expected = model(images)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images), expected)


def test_cnn_pools_only_while_there_is_something_to_pool():
    model = models.CNN(5, filters=(2,) * 5, dense_units=None)
    assert model(np.zeros((2, 8, 8, 1), "float32")).shape == (2, 5)
    assert model.logits.kernel.shape == (2, 5)
    with pytest.raises(ValueError, match=r"\(None, None, 8, 1\).*residual=True"):
        models.CNN(5).build((None, None, 8, 1))
    with pytest.raises(ValueError, match=r"height, width, channels.*\(None, 64\)"):
        models.CNN(5).build((None, 64))


def test_residual_cnn_takes_images_of_any_size():
    model = models.CNN(5, filters=(2, 3), residual=True)
    model.build((None, None, None, 1))
    for size in (1, 8, 13):
        assert model(np.zeros((2, size, size + 1, 1), "float32")).shape == (2, 5)


def test_mlp_needs_known_dimensions():
    with pytest.raises(ValueError, match=r"flattens.*\(None, None, 3\)"):
        models.MLP(5).build((None, None, 3))


def test_to_sequence():
    images = np.arange(2 * 4 * 6 * 3, dtype="float32").reshape(2, 4, 6, 3)
    rows = layers.ToSequence()(images)
    np.testing.assert_array_equal(rows, images.reshape(2, 4, 18))
    patches = layers.ToSequence(2)(images)
    assert patches.shape == (2, 6, 12)
    np.testing.assert_array_equal(patches[1, 4], images[1, 2:4, 2:4].reshape(12))
    vector = layers.ToSequence()(images[:, 0, 0])
    np.testing.assert_array_equal(vector, images[:, 0, 0, :, None])
    with pytest.raises(ValueError, match=r"must divide.*patch_size=3.*4, 6, 3\)"):
        layers.ToSequence(3)(images)
    with pytest.raises(ValueError, match=r"is for images.*patch_size=2.*\(2, 4\)"):
        layers.ToSequence(2)(images[:, :, 0, 0])
    with pytest.raises(ValueError, match=r"to be known.*\(None, 4, None\)"):
        layers.ToSequence().build((None, 4, None))


SEQUENCE_MODELS = {
    "rnn": lambda: models.RNN(5, units=(4, 3)),
    "transformer": lambda: models.Transformer(5, positions="sinusoidal", **TRANSFORMER),
}


@pytest.mark.parametrize("make", SEQUENCE_MODELS.values(), ids=SEQUENCE_MODELS.keys())
def test_flat_vectors_and_images_are_read_as_sequences(make):
    values = np.random.default_rng(0).random((3, 6), "float32")
    for inputs, sequence in (
        (values, values[:, :, None]),
        (values.reshape(3, 3, 2, 1), values.reshape(3, 3, 2)),
    ):
        first, second = make(), make()
        first(inputs), second(sequence)
        second.set_weights(first.get_weights())
        np.testing.assert_allclose(first(inputs), second(sequence), atol=1e-6)


ID_MODELS = {
    name: CASES[name]
    for name in ("gru on ids", "transformer on ids", "causal transformer")
}
every_id_model = pytest.mark.parametrize("case", ID_MODELS.values(), ids=ID_MODELS)


@every_id_model
def test_length_is_free(case):
    model = case.make()
    model.build((None, None))
    assert np.all(np.isfinite(model(case.data()[0])))

    @tf.function(input_signature=[tf.TensorSpec([None, None], "int32")])
    def serve(ids):
        return model(ids)

    for length in (1, 4, 9):
        ids = np.full((2, length), 3, "int32")
        np.testing.assert_allclose(serve(ids), model(ids), atol=1e-6)


@every_id_model
def test_ids_must_be_integers(case):
    with pytest.raises(ValueError, match=r"token ids.*inputs of dtype float32"):
        case.built()(np.ones((2, LENGTH), "float32"))
    with pytest.raises(ValueError, match=r"token ids.*\(None, 8, 8, 1\)"):
        case.make().build((None, 8, 8, 1))


@pytest.mark.parametrize("name", ["gru on ids", "transformer on ids"])
def test_padding_changes_nothing(name):
    case = ID_MODELS[name]
    stacked = {"units": (4, 4)} if case.model is models.RNN else {"num_layers": 2}
    model = case.built(**stacked)
    ids = np.array([[1, 2, 3], [4, 5, 6]], "int32")
    expected = model(ids)
    for after in (1, 7):
        padded = np.pad(ids, ((0, 0), (0, after)))
        np.testing.assert_allclose(model(padded), expected, atol=1e-6)
    if case.model is models.RNN:
        padded = np.pad(ids, ((0, 0), (3, 2)))
        np.testing.assert_allclose(model(padded), expected, atol=1e-6)
    assert not np.allclose(model(ids[:, :2]), expected, atol=1e-3)
    # An example that is nothing but padding is an input like any other.
    assert np.all(np.isfinite(model(np.zeros((2, 4), "int32"))))


@pytest.mark.parametrize("cell", ["lstm", "gru", "simple"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_cells(cell, bidirectional):
    model = models.RNN(5, units=(4, 3), cell=cell, bidirectional=bidirectional)
    inputs = np.random.default_rng(0).random((2, 5, 3), "float32")
    outputs = model(inputs)
    assert outputs.shape == (2, 5)
    assert model.logits.kernel.shape[0] == (6 if bidirectional else 3)
    # The order of time matters, and no step is left out.
    assert not np.allclose(model(inputs[:, ::-1]), outputs, atol=1e-5)
    assert not np.allclose(model(inputs[:, 1:]), outputs, atol=1e-5)


# ---------------------------------------------------------------- Transformers


@pytest.mark.parametrize("positions", ["learned", "sinusoidal"])
def test_causal_output_depends_on_no_later_token(positions):
    case = CASES["causal transformer"]
    model = case.built(num_layers=2, positions=positions)
    ids, _ = case.data()
    expected = model(ids)
    for step in range(LENGTH):
        changed = ids.copy()
        changed[:, step] = ids[:, step] % (VOCABULARY - 1) + 1
        outputs = model(changed)
        np.testing.assert_allclose(outputs[:, :step], expected[:, :step], atol=1e-6)
        # It does depend on its own token and on earlier ones.
        assert not np.allclose(outputs[:, step:], expected[:, step:], atol=1e-4)


def test_longer_than_max_length_is_refused():
    too_long = np.ones((1, 9), "int32")
    for positions in ("learned", "sinusoidal"):
        model = models.CausalTransformer(
            9, max_length=8, positions=positions, **TRANSFORMER
        )
        model.build((None, None))
        with pytest.raises(ValueError, match=r"max_length=8 .*a sequence of 9"):
            model(too_long)
    any_length = models.CausalTransformer(
        9, max_length=None, positions="sinusoidal", **TRANSFORMER
    )
    assert any_length(too_long).shape == (1, 9, 9)
    with pytest.raises(ValueError, match='max_length, or positions="sinusoidal"'):
        models.Transformer(5, vocabulary_size=9, **TRANSFORMER).build((None, None))
    from_shape = models.Transformer(5, vocabulary_size=9, **TRANSFORMER)
    from_shape.build((None, 8))
    assert from_shape(too_long[:, :3]).shape == (1, 5)
    with pytest.raises(ValueError, match=r"max_length=8 .*a sequence of 9"):
        from_shape(too_long)


def both_attentions(causal: bool, dtype: str) -> tuple[Any, Any, np.ndarray]:
    """Ours and Keras' with the same weights, and inputs for them."""
    keras.utils.set_random_seed(0)
    ours = layers.SelfAttention(2, causal=causal, dtype=dtype)
    # 4 wide: Keras divides by the root of that in float32, whatever the dtype.
    theirs = keras.layers.MultiHeadAttention(2, 4, dtype=dtype)
    inputs = np.random.default_rng(0).standard_normal((3, 7, 8), dtype)
    ours.build(inputs.shape)
    theirs.build(inputs.shape, inputs.shape)
    projections = [theirs.query_dense, theirs.key_dense, theirs.value_dense]
    for part in (*projections, theirs.output_dense):
        part.bias.assign(np.random.default_rng(1).random(part.bias.shape))
    fused = ours.query_key_value
    fused.kernel.assign(
        np.concatenate([np.reshape(p.kernel, (8, 8)) for p in projections], axis=1)
    )
    fused.bias.assign(np.concatenate([np.reshape(p.bias, 8) for p in projections]))
    ours.attention_output.kernel.assign(np.reshape(theirs.output_dense.kernel, (8, 8)))
    ours.attention_output.bias.assign(theirs.output_dense.bias)
    return ours, theirs, inputs


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("padded", [False, True])
# In float32 sums of gradients up to 50 are only as exact as the largest of them.
@pytest.mark.parametrize(("dtype", "most"), [("float32", 1e-5), ("float64", 1e-12)])
def test_attention_equals_keras(causal, padded, dtype, most):
    ours, theirs, inputs = both_attentions(causal, dtype)

    def assert_close(one, other):
        largest = max(1.0, np.abs(other).max())
        np.testing.assert_allclose(one, other, atol=most * largest, rtol=0)

    mask = np.ones((3, 7), bool)
    if padded:
        mask[1, 4:] = mask[2, :2] = False
    inputs = tf.constant(inputs)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(inputs)
        ours_out = ours(inputs, mask=mask if padded else None)
        theirs_out = theirs(
            inputs,
            inputs,
            attention_mask=mask[:, None, :] if padded else None,
            use_causal_mask=causal,
        )
        # Keras leaves open what a query that may see nothing gives.
        seen = np.tril(np.ones((7, 7), bool)) if causal else np.ones((7, 7), bool)
        valid = (seen[None] & mask[:, None, :]).any(-1)[..., None]
        sums = [
            tf.reduce_sum(tf.where(valid, out, 0) ** 3)
            for out in (ours_out, theirs_out)
        ]
    assert_close(np.where(valid, ours_out, 0), np.where(valid, theirs_out, 0))
    assert_close(tape.gradient(sums[0], inputs), tape.gradient(sums[1], inputs))
    ours_kernels = [
        ours.query_key_value.kernel.value,
        ours.attention_output.kernel.value,
    ]
    theirs_kernels = [
        getattr(theirs, f"{name}_dense").kernel.value
        for name in ("query", "key", "value", "output")
    ]
    fused, output = tape.gradient(sums[0], ours_kernels)
    *parts, theirs_output = tape.gradient(sums[1], theirs_kernels)
    parts = np.concatenate([np.reshape(part, (8, 8)) for part in parts], axis=1)
    assert_close(fused, parts)
    assert_close(output, np.reshape(theirs_output, (8, 8)))


@pytest.mark.parametrize(
    ("dtype", "jit_compile"),
    [
        ("float32", False),
        ("float32", True),
        ("float16", False),
        ("mixed_float16", True),
        ("bfloat16", False),
    ],
)
def test_attention_is_finite_for_large_inputs_and_full_masks(dtype, jit_compile):
    layer = layers.SelfAttention(2, causal=True, dtype=dtype)
    layer.build((None, 5, 8))
    mask = tf.constant([[False] * 5, [True] * 3 + [False] * 2])

    @tf.function(jit_compile=jit_compile)
    def outputs_and_gradient(inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, mask=mask)
        return outputs, tape.gradient(outputs, inputs)

    inputs = tf.cast(100 * np.random.default_rng(0).random((2, 5, 8)), "float32")
    outputs, gradient = outputs_and_gradient(inputs)
    assert np.all(np.isfinite(outputs))
    assert np.all(np.isfinite(gradient))
    np.testing.assert_array_equal(outputs[0], np.zeros((5, 8)))


def test_fused_projection_starts_like_separate_ones():
    layer = layers.SelfAttention(2, kernel_initializer="glorot_uniform")
    layer.build((None, 5, 64))
    parts = np.split(np.array(layer.query_key_value.kernel), 3, axis=1)
    limit = np.sqrt(6 / (64 + 64))
    for part in parts:
        assert 0.98 * limit < np.max(np.abs(part)) <= limit
    assert not np.array_equal(parts[0], parts[1])


def test_sinusoidal_positions_are_those_of_vaswani():
    for width in (6, 7):
        layer = layers.SinusoidalPositions()
        table = layer(np.zeros((1, 50, width), "float32"))[0]
        for column in range(width):
            angle = np.arange(50) / 10000 ** (2 * (column // 2) / width)
            wave = np.cos(angle) if column % 2 else np.sin(angle)
            np.testing.assert_allclose(table[:, column], wave, atol=1e-5)


def test_position_embedding():
    layer = layers.PositionEmbedding(6)
    inputs = np.ones((2, 4, 3), "float32")
    outputs = layer(inputs)
    expected = inputs + np.array(layer.embeddings)[:4]
    np.testing.assert_allclose(outputs, expected, atol=1e-6)
    with pytest.raises(ValueError, match=r"max_length=6 .*a sequence of 7"):
        layer(np.ones((2, 7, 3), "float32"))
    with pytest.raises(ValueError, match=r"batch, length, width.*\(2, 3\)"):
        layers.PositionEmbedding(6)(np.ones((2, 3), "float32"))


def test_attention_refuses():
    inputs = np.ones((2, 4, 6), "float32")
    with pytest.raises(ValueError, match=r"num_heads=4 and width=6"):
        layers.SelfAttention(4)(inputs)
    with pytest.raises(ValueError, match=r"mask.*\(batch, length\).*\(2, 4, 4\)"):
        layers.SelfAttention(2)(inputs, mask=np.ones((2, 4, 4), bool))


LAYERS = {
    "attention": (layers.SelfAttention(2, causal=True, dropout=0.1), (None, 5, 8)),
    "block": (layers.TransformerBlock(2, 16, kernel_regularizer="l2"), (None, 5, 8)),
    "stack": (layers.TransformerStack(2, 2, 16, max_length=9), (None, 5, 8)),
    "convolution": (layers.ConvolutionBlock(3, activation="gelu"), (None, 8, 8, 1)),
    "residual": (layers.ResidualBlock(3, strides=2), (None, 7, 7, 3)),
    "positions": (layers.PositionEmbedding(9), (None, 5, 8)),
    "tokens": (layers.TokenEmbedding(9, 8, mask_zero=True), (None, 5)),
    "sequence": (layers.ToSequence(4), (None, 8, 8, 1)),
    "dropout": (layers.Dropout(0.5, seed=1), (None, 5)),
}


@pytest.mark.parametrize(("layer", "shape"), LAYERS.values(), ids=LAYERS.keys())
def test_layers_round_trip(layer, shape):
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == layer.get_config()
    for one in (layer, again):
        one.build(shape)
    assert [v.path for v in again.weights] == [v.path for v in layer.weights]
    again.set_weights(layer.get_weights())
    inputs = np.ones((2, *shape[1:]), "int32" if len(shape) == 2 else "float32")
    outputs = layer(inputs)
    np.testing.assert_array_equal(again(inputs), outputs)
    assert layer.compute_output_shape((2, *shape[1:])) == outputs.shape


def test_public_names():
    assert sorted(models.__all__) == [
        "CNN",
        "CausalTransformer",
        "Classifier",
        "Features",
        "GradientGate",
        "MLP",
        "RNN",
        "Transformer",
        "fine_tuned",
    ]
    assert all(hasattr(layers, name) for name in layers.__all__)
    for name in (*models.__all__, *layers.__all__):
        owner = models if name in models.__all__ else layers
        assert "Args:" in getattr(owner, name).__doc__, name
