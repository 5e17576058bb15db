"""What a version consists of: signatures, warm-up requests, record."""

import hashlib
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerascale as ks
from kerascale.serving import graph
from kerascale.serving.messages import PredictionLog

# One of each kind of input and of answer; the others with all.
RECIPES = ["mlp"]
_SLOW = ("cnn", "rnn", "transformer", "language_model")
RECIPES += [pytest.param(name, marks=pytest.mark.slow) for name in _SLOW]


@pytest.mark.parametrize("name", RECIPES)
def test_signatures(exported, name):
    signatures = graph.read_signatures(exported(name).version)
    is_text = name == "language_model"
    assert set(signatures) == {"serving_default", "serve", "classify"} - (
        {"classify"} if is_text else set()
    )
    for default in ("serving_default", "serve"):
        signature = signatures[default]
        assert signature["method"] == "tensorflow/serving/predict"
        assert list(signature["inputs"]) == ["text" if is_text else "image"]
        assert list(signature["outputs"]) == ["probabilities"]
    shape = signatures["serve"]["outputs"]["probabilities"]["shape"]
    assert shape[0] is None
    if is_text:
        assert shape[1] is None
        return
    assert signatures["classify"] == {
        "method": "tensorflow/serving/classify",
        "inputs": {"inputs": {"dtype": "string", "shape": [None]}},
        "outputs": {
            "classes": {"dtype": "string", "shape": [None, 10]},
            "scores": {"dtype": "float32", "shape": [None, 10]},
        },
    }


@pytest.mark.parametrize("name", RECIPES)
def test_warm_up_requests_are_answered_and_are_of_the_data(exported, name):
    version = exported(name).version
    file = version / "assets.extra" / "tf_serving_warmup_requests"
    records = [r.numpy() for r in tf.data.TFRecordDataset(str(file))]
    assert 8 <= len(records) <= 1000
    loaded = tf.saved_model.load(str(version))
    kinds = []
    for data in records:
        log = PredictionLog.FromString(data)
        kinds.append(log.WhichOneof("log_type"))
        if kinds[-1] == "classify_log":
            request = log.classify_log.request
            examples = tf.constant(list(request.input.example_list.examples))
            answer = loaded.signatures["classify"](inputs=examples)
            assert answer["scores"].shape == (8, 10)
            continue
        request = log.predict_log.request
        inputs = {
            n: tf.io.parse_tensor(t, _dtype(t)) for n, t in request.inputs.items()
        }
        answer = loaded.signatures[request.model_spec.signature_name](**inputs)
        assert np.isfinite(answer["probabilities"]).all()
    assert kinds.count("predict_log") == 9
    assert kinds.count("classify_log") == (name != "language_model")
    (sent,) = inputs.values()
    if name == "language_model":
        assert all(
            b"The quick" in t or b"fox" in t or b"lazy" in t for t in sent.numpy()
        )
    else:
        assert sent.numpy().max() == 16  # Pixels as they are in the file.


def _dtype(tensor):
    from tensorflow.core.framework import tensor_pb2

    return tensor_pb2.TensorProto.FromString(tensor).dtype


def test_classify_gives_names_and_the_scores_of_predict(exported):
    made = exported("mlp")
    loaded = tf.saved_model.load(str(made.version))
    images = np.random.default_rng(0).uniform(0, 16, (3, 8, 8, 1)).astype("float32")
    examples = [
        tf.train.Example(
            features=tf.train.Features(
                feature={
                    "image": tf.train.Feature(
                        float_list=tf.train.FloatList(value=image.ravel())
                    )
                }
            )
        ).SerializeToString()
        for image in images
    ]
    answer = loaded.signatures["classify"](inputs=tf.constant(examples))
    expected = made.run.model.predict_on_batch(images)
    np.testing.assert_allclose(answer["scores"], expected, atol=1e-5)
    assert answer["classes"].numpy().tolist() == [[b"%d" % i for i in range(10)]] * 3


@pytest.mark.slow
def test_the_record(exported):
    made = exported("transformer")
    record = json.loads((made.version / "assets.extra" / "kerascale.json").read_text())
    assert record["recipe"] == made.run.recipe
    assert record["run"] == str(made.run.path)
    assert record["step"] == int(made.run.model.optimizer.iterations)
    assert record["metrics"]["accuracy"] == made.run.metrics["accuracy"]
    assert record["main_metric"] == "accuracy"
    assert record["versions"]["keras"] == keras.__version__
    assert record["signatures"] == graph.read_signatures(made.version)
    files = {
        path.relative_to(made.version).as_posix()
        for path in made.version.rglob("*")
        if path.is_file()
    }
    assert files - set(record["files"]) == {"assets.extra/kerascale.json"}
    for name, content in record["files"].items():
        data = (made.version / name).read_bytes()
        assert content == {
            "size": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }


# Models that are no recipe's --------------------------------------------------------


def _two_inputs(outputs=dict, names=("age", "words")):
    keras.utils.set_random_seed(0)
    age = keras.Input((2,), name=names[0])
    words = keras.Input((None,), dtype="int32", name=names[1])
    pooled = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(9, 4)(words))
    both = keras.layers.Concatenate()([age, pooled])
    price = keras.layers.Dense(1, name="price")(both)
    kind = keras.layers.Dense(3, activation="softmax", name="kind")(both)
    if outputs is dict:
        return keras.Model([age, words], {"euros": price, "sort": kind})
    return keras.Model({"age": age, "words": words}, [price, kind])


@pytest.mark.parametrize(
    ("outputs", "scaled"),
    [
        (dict, True),
        (list, False),
        pytest.param(dict, False, marks=pytest.mark.slow),
        pytest.param(list, True, marks=pytest.mark.slow),
    ],
)
def test_several_inputs_and_outputs(tmp_path, outputs, scaled):
    model = _two_inputs(outputs)
    model = ks.scale(model) if scaled else model
    age = np.random.default_rng(0).normal(size=(5, 2)).astype("float32")
    words = np.random.default_rng(1).integers(0, 9, (5, 7)).astype("int32")
    inputs = [age, words] if outputs is dict else {"age": age, "words": words}
    version = ks.export_saved_model(model, tmp_path, inputs=inputs)
    expected = model(inputs)
    names = ("euros", "sort")
    if outputs is list:
        expected = dict(zip(("price", "kind"), expected, strict=True))
        names = ("price", "kind")
    serve = tf.saved_model.load(str(version)).signatures["serving_default"]
    answer = serve(age=tf.constant(age), words=tf.constant(words))
    assert set(answer) == set(names)
    for name in names:
        np.testing.assert_allclose(answer[name], expected[name], atol=1e-5)
    shapes = graph.read_signatures(version)["serve"]["inputs"]
    assert shapes["words"] == {"dtype": "int32", "shape": [None, None]}


def test_names_that_keras_made_up_are_refused(tmp_path):
    with pytest.raises(ks.RefusedError, match="Keras made up") as caught:
        ks.export_saved_model(_two_inputs(names=(None, None)), tmp_path)
    assert len(caught.value.problems) == 2
    inputs = keras.Input((2,), name="x")
    dense = [keras.layers.Dense(1)(inputs) for _ in range(2)]
    with pytest.raises(ks.RefusedError, match="expected a name for each of several"):
        ks.export_saved_model(keras.Model(inputs, dense), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_subclass_with_several_inputs_by_its_signature(tmp_path):
    class Sum(keras.Model):
        def call(self, inputs):
            return {"sum": inputs["a"] + inputs["b"]}

    model = Sum()
    model({"a": np.ones((1, 2)), "b": np.ones((1, 2))})
    specs = {n: tf.TensorSpec((None, 2), tf.float32, name=n) for n in ("a", "b")}
    version = ks.export_saved_model(model, tmp_path, input_signature=specs)
    serve = tf.saved_model.load(str(version)).signatures["serving_default"]
    answer = serve(a=tf.constant([[1.0, 2.0]]), b=tf.constant([[3.0, 4.0]]))
    np.testing.assert_array_equal(answer["sum"], [[4, 6]])


def test_sequences_of_free_length_classify(tmp_path):
    keras.utils.set_random_seed(0)
    model = ks.models.RNN(2, units=(4,))
    model.build((None, 5, 3))
    version = ks.export_saved_model(model, tmp_path, labels=("down", "up"))
    classify = tf.saved_model.load(str(version)).signatures["classify"]

    def example(x):
        values = tf.train.FloatList(value=np.ravel(x))
        feature = {"features": tf.train.Feature(float_list=values)}
        features = tf.train.Features(feature=feature)
        return tf.train.Example(features=features).SerializeToString()

    x = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")
    answer = classify(inputs=tf.constant([example(row) for row in x]))
    np.testing.assert_allclose(answer["scores"], model(x), atol=1e-5)
    # What is behind a shorter sequence would be read as a part of it.
    with pytest.raises(tf.errors.InvalidArgumentError, match="sequences of one length"):
        classify(inputs=tf.constant([example(x[0]), example(x[1, :2])]))


def test_labels_that_do_not_fit(exported, tmp_path):
    with pytest.raises(ks.RefusedError, match="a score for each label"):
        ks.export_saved_model(exported("mlp").run, tmp_path, labels=("a", "b"))
    with pytest.raises(ks.RefusedError, match="examples: expected a batch"):
        ks.export_saved_model(exported("mlp").run, tmp_path, inputs=np.ones((3, 5)))
    assert list(tmp_path.iterdir()) == []


def test_a_run_of_before_examples_were_kept(exported, tmp_path, capsys):
    run = ks.load_run(exported("mlp").run.path)
    run.path = tmp_path  # A folder without them.
    ks.export_saved_model(run, tmp_path / "served")
    assert "with made-up examples" in capsys.readouterr().err
