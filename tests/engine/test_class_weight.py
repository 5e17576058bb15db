"""`class_weight` of `fit`: what plain Keras does where it is valid, else refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerascale as ks
from kerascale.datasets import gathers, pipeline

X = np.random.default_rng(0).normal(size=(50, 4)).astype("float32")
Y = np.arange(50) % 3
ONE_HOT = np.eye(3, dtype="float32")[Y]
WEIGHTS = {0: 0.5, 1: 1.0, 2: 4.0}


def _model(scaled=True, one_hot=False):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, activation="softmax")]
    )
    model.compile("sgd", f"{'' if one_hot else 'sparse_'}categorical_crossentropy")
    return ks.scale(model) if scaled else model


def _losses(model, *data, **arguments):
    model.fit(*data, epochs=2, verbose=0, **arguments)
    return model.history.history["loss"]


def _of_keras(class_weight=None, y=Y):
    model = _model(scaled=False, one_hot=y.ndim > 1)
    arguments = {"batch_size": 16, "shuffle": False, "class_weight": class_weight}
    return _losses(model, X, y, **arguments)


def _batches(x=X, y=Y, augmented=False):
    gather = plain = gathers.gather_arrays(x, y)
    if augmented:

        def gather(indices, epoch):
            return plain(indices, epoch)

    return pipeline.Batches(
        gather, len(x), 16, seed=0, shuffle=False, plain_gather=plain
    )


def _tf_data():
    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(16)


@pytest.mark.parametrize(
    ("class_weight", "y"),
    [
        (WEIGHTS, Y),
        (WEIGHTS, Y[:, None]),
        (WEIGHTS, ONE_HOT),
        ({2: 4.0}, ONE_HOT),
        ({1.0: 3}, Y),
        ({}, Y[:, None]),
    ],
)
def test_arrays_are_weighted_as_by_keras(class_weight, y):
    ours = _losses(
        _model(one_hot=y is ONE_HOT),
        *(X, y),
        batch_size=16,
        shuffle=False,
        class_weight=class_weight,
    )
    expected_y = ONE_HOT if y is ONE_HOT else Y
    np.testing.assert_allclose(ours, _of_keras(class_weight, expected_y), rtol=1e-6)


def _stream():
    return ks.datasets.from_tf_data(_tf_data()).train


@pytest.mark.parametrize(
    ("class_weight", "data"),
    [
        (WEIGHTS, _batches),
        (WEIGHTS, lambda: _batches(augmented=True)),
        (WEIGHTS, _stream),
        (WEIGHTS, _tf_data),
        ({2: 4.0}, lambda: _batches(augmented=True)),
        ({0: 3.0}, _tf_data),
        ({}, _batches),
        ({}, _stream),
    ],
)
def test_batches_are_weighted_as_keras_weights_arrays(class_weight, data):
    """A class without a weight counts as 1, which Keras says of arrays alone."""
    ours = _losses(_model(), data(), class_weight=class_weight)
    np.testing.assert_allclose(ours, _of_keras(class_weight), rtol=1e-6)
    if class_weight:
        assert abs(ours[0] - _of_keras()[0]) > 0.1


def test_one_hot_batches_are_weighted():
    ours = _losses(_model(one_hot=True), _batches(y=ONE_HOT), class_weight=WEIGHTS)
    np.testing.assert_allclose(ours, _of_keras(WEIGHTS, ONE_HOT), rtol=1e-6)


def test_a_weighted_batch_is_evaluated_without_weights():
    model = _model()
    batches = _batches()
    history = model.fit(
        batches, validation_data=batches, class_weight=WEIGHTS, verbose=0
    )
    loss = model.evaluate(X, Y, verbose=0)
    np.testing.assert_allclose(history.history["val_loss"][0], loss, rtol=1e-5)


@pytest.mark.parametrize("data", [(X, Y), (_batches(),), (_tf_data(),)])
@pytest.mark.parametrize(
    ("class_weight", "message"),
    [
        ({"cat": 1.0, 1: 2.0}, "class indices as keys.*Received: 'cat'. Write each"),
        ({"0": 1.0, "1": 2.0}, "class indices as keys.*Received: '0', '1'"),
        ({-1: 1.0, 0.5: 2.0}, "integers from 0. Received: -1, 0.5"),
        ({0: float("nan"), 1: "2"}, "finite number.*Received: 0: nan, 1: '2'"),
        ("balanced", "a dict of class index -> weight.*'balanced'"),
    ],
)
def test_what_is_no_class_weight_is_refused(data, class_weight, message):
    with pytest.raises(ks.RefusedError, match=f"class_weight: expected .*{message}"):
        _model().fit(*data, class_weight=class_weight, verbose=0)


@pytest.mark.parametrize(
    ("data", "one_hot"),
    [((X, Y), 0), ((X, ONE_HOT), 1), ((_batches(),), 0), ((_batches(y=ONE_HOT),), 1)],
    ids=["arrays", "one-hot", "batches", "one-hot batches"],
)
def test_a_class_that_there_is_not_is_refused(data, one_hot):
    with pytest.raises(
        ks.RefusedError, match=r"classes among 0, 1, 2\. Received: 7, 9, which"
    ):
        _model(one_hot=one_hot).fit(*data, class_weight={0: 1, 7: 2, 9: 3}, verbose=0)


def test_a_class_of_the_model_need_not_be_in_the_labels():
    some = Y < 2
    _losses(_model(), X[some], Y[some], class_weight=WEIGHTS)


def test_weights_for_no_single_label_are_refused():
    tokens = np.arange(100).reshape(50, 2)
    with pytest.raises(ks.RefusedError, match=r"one-hot. Received.*shape \(50, 2\)"):
        _model().fit(X, tokens, class_weight=WEIGHTS, verbose=0)
    weighted = pipeline.Batches(
        gathers.FromArrays(tuple(map(tf.constant, (X, Y, np.ones(50))))),
        num_examples=50,
        batch_size=16,
        seed=0,
        shuffle=False,
    )
    with pytest.raises(ks.RefusedError, match=r"expected batches \(x, y\).*3 arrays"):
        _model().fit(weighted, class_weight=WEIGHTS, verbose=0)
