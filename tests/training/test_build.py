"""A recipe's data and model, made in Python, checked before the first step."""

import html

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerascale as ks
from kerascale import reporting
from kerascale.cli import main
from kerascale.engine.parity.check import asked_check
from kerascale.engine.step.build import batch_statistics
from kerascale.reporting import page as report_page
from kerascale.reporting.model_findings import Findings


def test_arrays_from_python(tmp_path, recipe_with):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(300, 5)).astype("float32")
    y = (x[:, 0] > 0).astype("int64")
    recipe = recipe_with(lambda c: ks.datasets.from_arrays(x, y, c))
    run = ks.train(recipe, recipe.Config(epochs=20), run_dir=tmp_path / "run")
    assert run.metrics["accuracy"] > 0.9
    assert run.info.class_names == ("0", "1")


def test_tf_data_from_python(tmp_path, recipe_with):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(256, 5)).astype("float32")
    y = (x[:, 0] > 0).astype("int64")
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(32)
    recipe = recipe_with(
        lambda c: ks.datasets.from_tf_data(data, data, class_names=("no", "yes"))
    )
    run = ks.train(recipe, recipe.Config(epochs=20), run_dir=tmp_path / "run")
    assert run.metrics["split"] == "validation"
    assert run.metrics["accuracy"] > 0.9


def test_tf_data_that_cannot_be_counted_is_refused():
    data = tf.data.Dataset.range(4).map(lambda i: (i, i)).batch(2)
    problems = {
        "train": data.repeat(),
        "validation": data.filter(lambda x, y: True),
        "test": data.take(0),
    }
    with pytest.raises(ks.RefusedError) as refused:
        ks.datasets.from_tf_data(**problems)
    text = "\n".join(refused.value.problems)
    for what in ("infinite", "unknown cardinality", "empty"):
        assert what in text


def test_make_datasets_must_return_datasets(tmp_path, recipe_with):
    recipe = recipe_with(lambda c: [1, 2])
    with pytest.raises(ks.RefusedError, match=r"Received: an object of type list"):
        ks.train(recipe, recipe.Config())


def test_make_model_must_build_and_compile(tmp_path, recipe_with):
    recipe = recipe_with(ks.load_recipe("mlp").make_datasets)
    recipe.make_model = lambda config: ks.models.MLP(10)
    with pytest.raises(ks.RefusedError) as refused:
        ks.train(recipe, recipe.Config())
    assert "a built model" in refused.value.problems[0]
    assert "a compiled model" in refused.value.problems[1]


def test_a_test_split_that_shuffles_is_evaluated_right(tmp_path, recipe_with):
    """Labels and predictions come from one pass."""
    x = np.random.default_rng(0).normal(size=(256, 5)).astype("float32")
    y = (x[:, 0] > 0).astype("int64")
    data = tf.data.Dataset.from_tensor_slices((x, y))
    shuffled = data.shuffle(256).batch(32)
    recipe = recipe_with(
        lambda c: ks.datasets.from_tf_data(
            data.batch(32), test=shuffled, class_names=("no", "yes")
        )
    )
    run = ks.train(recipe, recipe.Config(epochs=20), run_dir=tmp_path / "run")
    assert run.metrics["accuracy"] > 0.9


def test_a_feature_that_is_constant_in_training_stays_harmless(
    tmp_path, capsys, recipe_with
):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(200, 3)).astype("float32")
    y = (x[:, 0] > 0).astype("int64")
    x[:, 2] = 7.0
    rare = x[:50].copy()
    rare[:, 2] = 8.0
    recipe = recipe_with(
        lambda c: ks.datasets.from_arrays(x, y, c, test=(rare, y[:50]))
    )
    run = ks.train(recipe, recipe.Config(epochs=20), run_dir=tmp_path / "run")
    assert "constant in the training examples: feature 2" in capsys.readouterr().err
    assert run.metrics["accuracy"] > 0.8


def _linear(activation, classes):
    def make_model(config, datasets):
        model = keras.Sequential(
            [
                keras.Input(datasets.info.input_shape),
                keras.layers.Flatten(),
                keras.layers.Dense(classes, activation=activation),
            ]
        )
        return ks.optimizers.compile_classifier(model, config, 1)

    return make_model


@pytest.mark.parametrize(
    ("activation", "classes", "message"),
    [
        (None, 10, "expected probabilities, which sum to 1"),
        ("sigmoid", 10, "expected probabilities, which sum to 1"),
        ("sigmoid", 1, r"an output of shape \(batch, 10\)"),
    ],
)
def test_models_without_probabilities_are_refused(
    tmp_path, activation, classes, message, recipe_with
):
    recipe = recipe_with(ks.load_recipe("mlp").make_datasets)
    recipe.make_model = _linear(activation, classes)
    with pytest.raises(ks.RefusedError, match=message):
        ks.train(recipe, recipe.Config(), run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_plain_keras_model_of_a_recipe_is_scaled(tmp_path, recipe_with):
    from kerascale.engine.model import Engine

    recipe = recipe_with(ks.load_recipe("mlp").make_datasets)
    recipe.make_model = _linear("softmax", 10)
    run = ks.train(recipe, recipe.Config(epochs=0), run_dir=tmp_path / "run")
    assert isinstance(run.model, Engine)


def test_what_a_recipe_tells_of_its_model_stays_and_is_reported(
    tmp_path, recipe_with, capsys
):
    linear = _linear("softmax", 10)
    recipe = recipe_with(ks.load_recipe("mlp").make_datasets)
    recipe.make_model = lambda config, data: ks.scale(
        linear(config, data), check="never", batch_statistics="replica"
    )
    folder = tmp_path / "run"
    run = ks.train(recipe, recipe.Config(epochs=0), run_dir=folder)
    assert asked_check(run.model) == "never"
    assert batch_statistics(run.model) == "replica"
    said = "The check that slices are the batch was left out (check='never')."
    recorded = reporting.read(folder)
    page = html.unescape(report_page.render(recorded, Findings()))
    assert page.count(said) == 1
    (folder / "evaluation.json").unlink()  # Its model is not loaded.
    assert main(["report", str(folder)]) == 0
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"label": "y"}, "label: expected only with csv:, parquet: or tfds: data"),
        ({"num_classes": 5}, "num_classes: expected 10, as digits has"),
    ],
)
def test_fields_that_cannot_apply_are_refused(recipe, values, message):
    with pytest.raises(ks.RefusedError, match=message):
        ks.train(recipe, recipe.Config(**values))


def test_image_fields_are_refused_for_tables(recipe, tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n" + "1,x\n2,y\n" * 20)
    config = recipe.Config(
        dataset=f"csv:{tmp_path / 't.csv'}", label="b", augment_shift=0.2, image_size=9
    )
    with pytest.raises(ks.RefusedError) as refused:
        ks.train(recipe, config)
    assert [p.partition(":")[0] for p in refused.value.problems] == [
        "image_size",
        "augment_shift",
    ]


def test_what_a_model_cannot_be_is_refused_not_thrown():
    recipe = ks.load_recipe("transformer")
    with pytest.raises(ks.RefusedError, match=r"recipe transformer: .*patch"):
        ks.train(recipe, recipe.Config(patch_size=3))


def test_evaluation_of_the_training_split_is_not_augmented(recipe):
    plain = recipe.make_datasets(recipe.Config()).train.for_evaluation()
    augmented = recipe.make_datasets(recipe.Config(augment_shift=0.5)).train
    for ours, theirs in zip(
        augmented.for_evaluation().dataset(), plain.dataset(), strict=True
    ):
        np.testing.assert_array_equal(ours[0], theirs[0])
        np.testing.assert_array_equal(ours[1], theirs[1])


def test_datasets_can_be_given_to_train(recipe, tmp_path):
    x = np.random.default_rng(0).normal(size=(300, 5)).astype("float32")
    config = recipe.Config(epochs=2)
    data = ks.datasets.from_arrays(x, (x[:, 0] > 0).astype("int64"), config)
    run = ks.train(recipe, config, datasets=data, run_dir=tmp_path / "run")
    assert run.info.name == "arrays"


def test_gray_floats_get_a_hint():
    x = np.zeros((20, 8, 8), dtype="float32")
    raw = ks.datasets.RawData(
        name="npz:x.npz",
        kind="vector",
        class_names=("a", "b"),
        train=ks.datasets.Split(x, np.arange(20) % 2),
    )
    with pytest.raises(ks.RefusedError, match=r"add a channel: x\[\.\.\., None\]"):
        ks.datasets.prepare(raw, ks.TrainingConfig(), kinds=("image",))


def test_what_is_no_tf_data_is_refused():
    with pytest.raises(ks.RefusedError, match=r"Received: an object of type list"):
        ks.datasets.from_tf_data([1, 2])


def test_images_that_grow_beyond_memory_are_refused():
    recipe = ks.load_recipe("cnn")
    with pytest.raises(ks.RefusedError, match=r"digits: expected data that fits"):
        ks.train(recipe, recipe.Config(image_size=20_000, pack="never"))
