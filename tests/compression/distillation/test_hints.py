"""Layers inside of a student learn from layers inside of its teacher."""

import keras
import numpy as np
import pytest

import kerascale as ks
from kerascale.compression.distillation import Hint, distill
from kerascale.compression.distillation.alike import alike

LOSS = "sparse_categorical_crossentropy"


@pytest.fixture(scope="module")
def digits():
    train = ks.datasets.read("digits").train
    return (train.features[:128] / 16).astype("float32"), train.labels[:128]


def cnn(*filters, seed=0):
    keras.utils.set_random_seed(seed)
    model = ks.models.CNN(10, filters=filters, dense_units=8)
    model.build((None, 8, 8, 1))
    return model


def transformer(layers, heads, seed=0):
    keras.utils.set_random_seed(seed)
    model = ks.models.CausalTransformer(
        9, max_length=6, width=8, num_layers=layers, num_heads=heads
    )
    model.build((None, 6))
    return model


def losses(student, x, y, **arguments):
    """(with hints, without) the loss of a batch, without dropout."""
    student.compile("sgd", LOSS)
    found = []
    for hints in (arguments.pop("hints"), ()):
        distill(student, hints=hints, inputs=x[:2], **arguments)
        outputs = student(x, training=True)
        found.append(float(student.compute_loss(x, y, outputs, training=True)))
    return found


def test_features_are_compared_as_in_fitnets(digits):
    x, y = digits
    student, teacher = cnn(4, 6), cnn(8, 12, seed=1)
    hint = Hint("features", "stage_1_block_0", "stage_1_block_0", 0.7)
    student.compile("sgd", LOSS)
    distill(student, teacher, hints=[hint], inputs=x[:2])
    (projection,) = [v for v in student.trainable_variables if "distill" in v.name]
    assert projection.shape == (6, 12)
    ours, theirs = (np.array(keras_features(model, x)) for model in (student, teacher))
    expected = 0.7 * np.square(theirs - ours @ np.array(projection)).mean() / 2
    with_hint = float(
        student.compute_loss(x, y, student(x, training=True), training=True)
    )
    distill(student, teacher)
    without = float(
        student.compute_loss(x, y, student(x, training=True), training=True)
    )
    assert with_hint - without == pytest.approx(expected, rel=1e-4)


def keras_features(model, x):
    """The last picture in a CNN of two stages of one block."""
    first, second = model.blocks
    return second(model.pooling(first(x)))


def test_attention_of_pictures_is_compared_as_in_the_paper(digits):
    """Zagoruyko and Komodakis 2017: squares over channels, of length 1."""
    x, y = digits
    student, teacher = cnn(4, 6), cnn(8, 12, seed=1)
    names = ("stage_0_block_0", "stage_1_block_0")
    assert alike(student, teacher) == [(name, name) for name in names]
    hint = Hint("attention", "stage_1_block_0", "stage_1_block_0", 2.0)
    with_hint, without = losses(student, x, y, teacher=teacher, hints=[hint])

    def unit(model):
        squares = np.square(np.array(keras_features(model, x))).sum(-1)
        flat = squares.reshape(len(x), -1)
        return flat / np.linalg.norm(flat, axis=-1, keepdims=True)

    expected = 2.0 * np.square(unit(student) - unit(teacher)).sum(-1).mean()
    assert with_hint - without == pytest.approx(expected, rel=1e-3)


def test_attention_of_transformers_is_that_of_the_teacher():
    """KL of what positions attend to; layers as deep as one another, heads' means."""
    random = np.random.default_rng(0)
    x, y = random.integers(0, 9, (2, 16, 6))
    student, teacher = transformer(1, 2), transformer(2, 4, seed=1)
    assert alike(student, teacher) == [
        ("stack/block_0/attention", "stack/block_1/attention")
    ]
    pairs = [Hint("attention", *pair) for pair in alike(student, teacher)]
    with_hint, without = losses(student, x, y, teacher=teacher, hints=pairs)
    assert with_hint - without > 1e-4
    same = [Hint("attention", "stack/block_0/attention", "stack/block_0/attention")]
    twin = transformer(1, 2)
    with_hint, without = losses(student, x, y, teacher=twin, hints=same)
    assert with_hint == pytest.approx(without, abs=1e-6)


def test_a_student_with_hints_is_saved_alone(digits, tmp_path, recwarn):
    x, y = digits
    student, teacher = cnn(4, 6), cnn(8, 12, seed=1)
    hint = Hint("features", "stage_0_block_0/second", "stage_0_block_0/second")
    student.compile("adam", LOSS)
    student.execution = "fixed"
    distill(student, teacher, hints=[hint], inputs=x[:2])
    (projection,) = [v for v in student.trainable_variables if "distill" in v.name]
    before = np.array(projection)
    student.fit(x, y, epochs=1, verbose=0)
    assert np.abs(np.array(projection) - before).max() > 0
    student.save(tmp_path / "student.keras")
    loaded = keras.saving.load_model(tmp_path / "student.keras")
    assert len(loaded.weights) == len(cnn(4, 6).weights)
    np.testing.assert_allclose(loaded(x), student(x), atol=1e-6)
    assert not [w for w in recwarn if "optimizer" in str(w.message)]


def test_hints_that_cannot_be_are_refused(digits):
    x, _ = digits
    student, teacher = cnn(4, 6), cnn(8, 12, seed=1)
    missing = [Hint("features", "stage_1_block_9", "stage_1_block_0")]
    with pytest.raises(ks.RefusedError, match=r"layer of the student: .*stage_1_block"):
        distill(student, teacher, hints=missing, inputs=x[:2])
    other = [Hint("attention", "stage_0_block_0", "stage_1_block_0")]
    with pytest.raises(ks.RefusedError, match=r"pictures of one height and width"):
        distill(student, teacher, hints=other, inputs=x[:2])
    two = [Hint("features", "first", "stage_1_block_0")]
    with pytest.raises(ks.RefusedError, match="Give more of the path"):
        distill(student, teacher, hints=two, inputs=x[:2])
    with pytest.raises(ks.RefusedError, match="2 problems"):
        distill(student, None, hints=missing)
    with pytest.raises(ks.RefusedError, match="two CNN of as many stages"):
        alike(student, ks.models.MLP(10))
