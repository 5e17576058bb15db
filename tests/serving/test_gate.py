"""What would be found out in production is found out by the export: it is refused."""

import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerascale as ks
from kerascale import errors
from kerascale.serving import compatibility, graph

IDS = tf.TensorSpec((None, None), tf.int64, name="tokens")


def _model():
    keras.utils.set_random_seed(0)
    ids = keras.Input((None,), dtype="int64", name="tokens")
    vectors = keras.layers.Embedding(50, 8)(ids)
    pooled = keras.layers.GlobalAveragePooling1D()(vectors)
    scaled = keras.layers.Normalization(mean=0.01, variance=1e-4, name="scaling")(
        pooled
    )
    outputs = keras.layers.Dense(3, activation="softmax", name="classes")(scaled)
    return keras.Model(ids, outputs)


@pytest.fixture(scope="module")
def model():
    return _model()


@pytest.fixture(scope="module")
def first(model, tmp_path_factory):
    base = tmp_path_factory.mktemp("first") / "served"
    inputs = np.random.default_rng(0).integers(0, 50, (8, 6))
    ks.export_saved_model(model, base, inputs=inputs, labels=("a", "b", "c"))
    return base


@pytest.fixture
def served(first, tmp_path):
    """A folder with one version, of which nothing may change in a refusal."""
    base = shutil.copytree(first, tmp_path / "served")
    return base


def _content(base):
    return {p: p.read_bytes() for p in base.rglob("*") if p.is_file()}


def _refused(served, model, match, **arguments):
    before = _content(served)
    labels = arguments.pop("labels", ("a", "b", "c"))
    with pytest.raises(errors.ExportRefusedError, match=match) as caught:
        ks.export_saved_model(model, served, labels=labels, **arguments)
    assert "Nothing was exported" in str(caught.value)
    assert _content(served) == before
    assert [path.name for path in served.glob("*/")] == ["1"]


# The five planted faults ----------------------------------------------------------


def test_a_renamed_output(served, model):
    _refused(
        served,
        model,
        "output probabilities: expected, as it is served. Received: scores",
        output_name="scores",
    )
    version = ks.export_saved_model(
        model, served, output_name="scores", labels=("a", "b", "c"), allow_breaking=True
    )
    record = json.loads((version / "assets.extra/kerascale.json").read_text())
    assert record["follows"] == 1
    assert "output probabilities" in record["breaks"][0]


def test_int64_made_int32(served, model):
    _refused(
        served,
        model,
        "input tokens: expected int64. Received: int32",
        input_signature=tf.TensorSpec((None, None), tf.int32, name="tokens"),
    )


def test_a_frozen_length(served, model):
    _refused(
        served,
        model,
        "input tokens: expected a free dimension at axis 1. Received: 6",
        input_signature=tf.TensorSpec((None, 6), tf.int64, name="tokens"),
    )


@pytest.mark.parametrize("allow_breaking", [False, True])
def test_a_frozen_batch(served, model, monkeypatch, allow_breaking):
    def frozen(interface):
        spec = tf.TensorSpec((8, None), tf.int64, name="tokens")
        function = tf.function(interface.call, input_signature=[spec])
        function.get_concrete_function()
        return function

    monkeypatch.setattr(graph, "serving_function", frozen)
    _refused(
        served,
        model,
        "input tokens: expected a free batch dimension",
        allow_breaking=allow_breaking,
    )


@pytest.mark.parametrize(
    "allow_breaking", [pytest.param(False, marks=pytest.mark.slow), True]
)
def test_a_dropped_normalisation(served, model, monkeypatch, allow_breaking):
    pooled = keras.Model(model.input, model.get_layer("scaling").input)
    head = model.get_layer("classes")

    def without(interface):
        @tf.function(input_signature=[IDS], autograph=False)
        def serve(ids):
            return {"probabilities": head(pooled(ids))}

        serve.get_concrete_function()
        return serve

    monkeypatch.setattr(graph, "serving_function", without)
    _refused(
        served,
        model,
        "does not answer as the trained one",
        allow_breaking=allow_breaking,
    )


@pytest.mark.parametrize(
    "fault",
    [
        "flipped",
        pytest.param("truncated", marks=pytest.mark.slow),
        pytest.param("other weights", marks=pytest.mark.slow),
    ],
)
def test_corrupted_variables(served, model, monkeypatch, fault):
    write = graph.write

    def write_and_corrupt(model, functions, folder):
        before = model.get_weights()
        if fault == "other weights":
            model.set_weights([w + np.asarray(0.1, w.dtype) for w in before])
        write(model, functions, folder)
        model.set_weights(before)
        (data,) = (folder / "variables").glob("*.data-*")
        content = bytearray(data.read_bytes())
        if fault == "flipped":
            content[len(content) // 2] ^= 1
        if fault == "truncated":
            del content[len(content) // 2 :]
        data.write_bytes(content)

    monkeypatch.setattr(graph, "write", write_and_corrupt)
    match = {
        "flipped": "loads and answers without Keras",
        "truncated": "loads and answers without Keras",
        "other weights": "does not answer as the trained one",
    }[fault]
    _refused(served, model, match, allow_breaking=True)


# What else a client would find changed ---------------------------------------------


def test_other_labels(served, model):
    match = "labels: expected 'a' at place 0 of the output. Received: 'b'"
    _refused(served, model, match, labels=("b", "a", "c"))


def test_the_first_version_leaves_nothing_when_it_is_refused(
    model, tmp_path, monkeypatch
):
    write = graph.write

    def write_other_weights(model, functions, folder):
        before = model.get_weights()
        model.set_weights([w + np.asarray(0.1, w.dtype) for w in before])
        write(model, functions, folder)
        model.set_weights(before)

    monkeypatch.setattr(graph, "write", write_other_weights)
    with pytest.raises(RuntimeError, match="does not answer as the trained one"):
        ks.export_saved_model(model, tmp_path / "served")
    assert list(tmp_path.iterdir()) == []


def _signature(inputs=None, outputs=None, method="predict"):
    return {
        "serving_default": {
            "method": method,
            "inputs": inputs or {"x": {"dtype": "float32", "shape": [None, 4]}},
            "outputs": outputs or {"y": {"dtype": "float32", "shape": [None, 3]}},
        }
    }


_X4 = {"dtype": "float32", "shape": [None, 4]}
_Y3 = {"dtype": "float32", "shape": [None, 3]}


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ({}, "signature serving_default: expected, as it is served. Received: nothing"),
        (_signature(method="classify"), "expected the method predict"),
        (_signature({"x": _X4, "z": _X4}), "expected the inputs that clients send"),
        (_signature(None, {"y": _Y3, "z": _Y3}), "expected one output, which REST"),
        (
            _signature(None, {"y": {"dtype": "float32", "shape": [None, 4]}}),
            "output y: expected 3 at axis 1. Received: 4",
        ),
        (
            _signature(None, {"y": {"dtype": "float32", "shape": [None, 3, 1]}}),
            r"output y: expected shape (None, 3). Received: (None, 3, 1)",
        ),
    ],
)
def test_signatures_that_break_clients(new, message):
    (problem,) = compatibility.breaks(_signature(), new)
    assert message in problem


def test_signatures_that_break_nobody():
    free = {"dtype": "float32", "shape": [None, None]}
    more = {**_signature({"x": free}), **{"classify": _signature()["serving_default"]}}
    assert compatibility.breaks(_signature(), more) == []
    several = _signature(None, {"y": _Y3, "z": _Y3})
    added = _signature(None, {"y": _Y3, "z": _Y3, "extra": _Y3})
    assert compatibility.breaks(several, added) == []


@pytest.mark.parametrize(
    ("before", "now", "refused"),
    [
        ({"accuracy": 0.95, "loss": 1.0}, {"accuracy": 0.93, "loss": 9.0}, False),
        ({"accuracy": 0.95}, {"accuracy": 0.929}, True),
        ({"accuracy": 0.95}, {"accuracy": float("nan")}, True),
        ({"accuracy": "nan"}, {"accuracy": 0.5}, False),
        ({"loss": 1.4, "perplexity": 4.0}, {"loss": 1.41, "perplexity": 4.1}, False),
        ({"loss": 1.4, "perplexity": 4.0}, {"loss": 1.43, "perplexity": 4.2}, True),
        ({"loss": 1.4}, {"accuracy": 0.1}, False),
        ({}, {"accuracy": 0.1}, False),
    ],
)
def test_a_worse_metric(before, now, refused):
    problems = compatibility.drop(before, now, 0.02)
    assert bool(problems) == refused
    if refused:
        name = compatibility.main_metric(now)
        assert f"{name}: expected no more than 0.02 worse" in problems[0]
