"""How much the loss of an example counts, by its class."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerascale as ks
from kerascale.datasets.class_weights import class_weights

NAMES = ("cat", "dog", "emu")
LABELS = np.array([0, 0, 0, 0, 1, 1, 2, 2])


def test_balanced():
    weights = class_weights(("balanced",), NAMES, LABELS)
    np.testing.assert_allclose(weights, [8 / 12, 8 / 6, 8 / 6], rtol=1e-6)
    # All classes count the same; the mean over the examples is 1.
    totals = np.bincount(LABELS, weights[LABELS])
    np.testing.assert_allclose(totals, [8 / 3] * 3, rtol=1e-6)


def test_by_name():
    weights = class_weights(("dog=2", "cat=0.5"), NAMES, LABELS)
    assert weights.tolist() == [0.5, 2, 1]
    assert class_weights(("a=b=3",), ("a=b", "c"), LABELS).tolist() == [3, 1]
    with pytest.raises(ks.RefusedError, match="class_weight: 5 problems") as caught:
        class_weights(("dgo=2", "cat=0", "emu=nan", "dog", "cat=1"), NAMES, LABELS)
    text = str(caught.value)
    assert "among 'cat', 'dog', 'emu'. Received: 'dgo'. Did you mean dog?" in text
    assert "one positive number for each class. Received: 'cat=0'" in text
    assert "expected balanced, or NAME=WEIGHT for some classes. Received: 'dog'" in text


def _data(recipe, **fields):
    generator = np.random.default_rng(0)
    y = (np.arange(200) % 10 == 0).astype(int)
    x = np.float32(generator.normal(size=(200, 2)) + y[:, None])
    config = recipe.Config(epochs=3, units=(4,), dropout=0.0, **fields)
    return config, ks.datasets.from_arrays(x, y, config)


def test_training_has_weights_and_evaluation_has_none(recipe):
    _, data = _data(recipe, class_weight=("1=3",))
    _, y, weight = next(iter(data.train.dataset()))
    np.testing.assert_array_equal(weight, np.where(y == 1, 3, 1))
    for source in (data.train.for_evaluation(), data.validation, data.test):
        assert len(next(iter(source.dataset()))) == 2


@pytest.mark.parametrize(
    "execution", [pytest.param("fixed", marks=pytest.mark.slow), "auto"]
)
@pytest.mark.slow
def test_the_weights_are_those_of_keras(recipe, tmp_path, execution):
    """The same training by plain Keras, with its own `class_weight`."""
    config, data = _data(recipe, class_weight=("0=0.5", "1=9"), execution=execution)
    run = ks.train(recipe, config, datasets=data, run_dir=tmp_path / "run")
    plain = _data(recipe)[1].train
    keras.utils.set_random_seed(config.seed)
    model = recipe.make_model(config, data)
    history = model.fit(
        tf.data.Dataset.from_tensors(0).flat_map(lambda _: plain.dataset(epochs=3)),
        steps_per_epoch=plain.steps_per_epoch,
        epochs=3,
        class_weight={0: 0.5, 1: 9.0},
        verbose=0,
    )
    ours, theirs = run.history["loss"], history.history["loss"]
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    _, other = _data(recipe)
    unweighted = ks.train(recipe, config, datasets=other, run_dir=tmp_path / "other")
    assert abs(unweighted.history["loss"][0] - ours[0]) > 0.1


def test_two_devices_give_the_same(recipe, run_python, tmp_path):
    code = """
import sys
import numpy as np, tensorflow as tf
import kerascale as ks
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)
recipe = ks.load_recipe("mlp")
losses = []
for strategy in ("one_device", tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])):
    config = recipe.Config(epochs=2, class_weight=("balanced",), augment_flip=True)
    run = ks.train(recipe, config, strategy=strategy, run_dir=f"run{len(losses)}")
    losses.append(run.history["loss"])
np.testing.assert_allclose(*losses, rtol=1e-4)
"""
    run_python(code, cwd=tmp_path, imported=True)


def test_a_text_has_no_classes():
    recipe = ks.load_recipe("language_model")
    with pytest.raises(ks.RefusedError, match="class_weight: expected only with image"):
        recipe.make_datasets(recipe.Config(class_weight=("balanced",)))
