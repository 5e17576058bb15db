"""A student's loss is Hinton's, and its teacher stays as it is."""

import keras
import numpy as np
import pytest

import kerascale as ks
from kerascale.compression.distillation import Teacher, distill
from kerascale.compression.distillation.distill import with_answers

CLASSES = 10


@pytest.fixture(scope="module")
def digits():
    train = ks.datasets.read("digits").train
    return (train.features[:256] / 16).astype("float32"), train.labels[:256]


def network(units, *, softmax=True, seed=0):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(units, activation="relu", kernel_regularizer="l2"),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(CLASSES, activation="softmax" if softmax else None),
        ]
    )


def compiled(model, from_logits=False):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits)
    model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
    return model


@pytest.fixture(scope="module")
def teacher(digits):
    model = compiled(network(64))
    model.fit(*digits, epochs=3, verbose=0)
    return model


def _softmax(logits):
    e = np.exp(logits - logits.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.mark.parametrize("softmax", [True, False])
def test_the_loss_is_the_formula(digits, teacher, softmax):
    """(1 - a) CE + a T^2 KL + regularization, of Hinton and others 2015."""
    x, y = digits
    a, t = 0.6, 4.0
    student = network(8, softmax=softmax)
    answers = Teacher(teacher)
    distill(student, answers, temperature=t, alpha=a, from_logits=not softmax)
    compiled(student, from_logits=not softmax)
    outputs = student(x, training=True)
    loss = float(student.compute_loss(x, y, outputs, training=True))
    p = np.array(outputs, "float64")
    logits = np.log(p) if softmax else p
    q, s = _softmax(np.array(answers(x), "float64") / t), _softmax(logits / t)
    hard = -np.log(_softmax(logits)[np.arange(len(y)), y]).mean()
    soft = (q * np.log(q / s)).sum(-1).mean()
    added = float(sum(student.losses))
    assert added > 0.1
    assert loss == pytest.approx((1 - a) * hard + a * t**2 * soft + added, rel=1e-5)
    validation = float(student.compute_loss(x, y, outputs, training=False))
    assert validation == pytest.approx(hard + added, rel=1e-5)


def test_a_teacher_is_not_changed_and_not_saved(digits, teacher, tmp_path):
    before = [w.copy() for w in teacher.get_weights()]
    student = compiled(distill(network(8), teacher))
    alone = network(8)
    student.fit(*digits, epochs=2, verbose=0, validation_data=digits)
    for a, b in zip(before, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(student.variables) == len(alone.variables)
    student.save(tmp_path / "student.keras")
    loaded = keras.saving.load_model(tmp_path / "student.keras")
    assert type(loaded) is keras.Sequential
    assert loaded.count_params() == alone.count_params()
    found = loaded.evaluate(*digits, verbose=0)
    np.testing.assert_allclose(found, student.evaluate(*digits, verbose=0), rtol=1e-5)


def test_answers_beside_the_labels_are_those_of_the_step(digits, teacher):
    x, y = digits
    weights = np.linspace(0.2, 2, len(y)).astype("float32")
    answers = np.array(Teacher(teacher)(x))
    in_step = compiled(distill(network(8), teacher))
    beside = compiled(distill(network(8), None))
    histories = [
        model.fit(x, labels, sample_weight=weights, epochs=2, shuffle=False, verbose=0)
        for model, labels in ((in_step, y), (beside, with_answers(y, answers)))
    ]
    first, second = (h.history for h in histories)
    assert first.keys() == second.keys() == {"accuracy", "loss"}
    for name, values in first.items():
        np.testing.assert_allclose(values, second[name], rtol=1e-4)


def test_an_ensemble_answers_with_the_mean_of_probabilities(digits, teacher):
    x, _ = digits
    other = network(16, seed=3)
    mean = (teacher.predict(x, verbose=0) + other.predict(x, verbose=0)) / 2
    found = np.exp(np.array(Teacher([teacher, other])(x)))
    np.testing.assert_allclose(found, mean, atol=1e-6)


class OwnStep(keras.Sequential):
    def train_step(self, data):
        return super().train_step(data)


def test_what_cannot_be_distilled_is_refused(digits, teacher):
    with pytest.raises(ks.RefusedError, match="overrides train_step"):
        distill(OwnStep([keras.Input((4,)), keras.layers.Dense(2)]), teacher)
    with pytest.raises(ks.RefusedError, match="2 problems") as refused:
        distill(network(4), teacher, temperature=0.0, alpha=1.5)
    assert len(refused.value.problems) == 2
    three = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
    )
    student = compiled(distill(three, teacher, from_logits=True), from_logits=True)
    with pytest.raises(ks.RefusedError, match=r"with the shape \(batch, 3\)"):
        student.fit(*digits, verbose=0)
    student = compiled(distill(network(4), None))
    with pytest.raises(ks.RefusedError, match="Received: neither"):
        student.fit(*digits, verbose=0)
