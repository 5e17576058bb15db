"""Recipes of other people: by path, by dotted name, through an entry point."""

import json
import os
import textwrap

import pytest

import kerascale as ks
from kerascale import registry

RECIPE = '''
"""A recipe from outside the repository."""

import dataclasses

import keras

import kerascale as ks


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(ks.TrainingConfig):
    """Fields."""

    epochs: ks.config.NonNegativeInt = 1
    """Passes over the training data."""


def make_datasets(config):
    return ks.datasets.from_config(config, kinds=("image",))


def make_model(config, datasets):
    model = ks.scale(
        keras.Sequential(
            [
                keras.Input(datasets.info.input_shape),
                datasets.normalization(),
                keras.layers.Flatten(),
                keras.layers.Dense(10, activation="softmax"),
            ]
        )
    )
    return ks.optimizers.compile_classifier(model, config, datasets.steps_per_epoch)
'''


@pytest.fixture
def package(tmp_path):
    """An installed package with an entry point, as `pip install` leaves it."""
    site = tmp_path / "site"
    (site / "others_recipes").mkdir(parents=True)
    (site / "others_recipes" / "__init__.py").write_text("")
    (site / "others_recipes" / "linear.py").write_text(RECIPE.lstrip())
    info = site / "others-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: others\nVersion: 1.0\n"
    )
    (info / "entry_points.txt").write_text(
        "[kerascale.recipes]\nothers = others_recipes\n"
    )
    return {
        "PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
    }


def test_a_recipe_trains_by_its_path(kerascale, tmp_path):
    (tmp_path / "linear.py").write_text(RECIPE.lstrip())
    finished = kerascale("train", "./linear.py", "--json", "True")
    assert finished.returncode == 0, finished.stderr
    summary = json.loads(finished.stdout)
    assert summary["run_dir"] == "runs/linear/1"
    assert kerascale("evaluate", "runs/linear/1").returncode == 0


def test_a_recipe_trains_by_name_through_an_entry_point(kerascale, package):
    listed = kerascale("recipes", env=package)
    assert "linear          A recipe from outside the repository." in listed.stdout
    finished = kerascale("train", "linear", "--json", "True", env=package)
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout)["recipe"] == "linear"
    dotted = kerascale("show", "others_recipes.linear", env=package)
    assert "A recipe from outside the repository." in dotted.stdout


def test_scaled_model_of_a_run_loads_in_plain_keras(kerascale, tmp_path, run_python):
    (tmp_path / "linear.py").write_text(RECIPE.lstrip())
    assert kerascale("train", "./linear.py", "--run-dir", "run").returncode == 0
    run_python(
        "import sys; sys.modules['kerascale'] = None; import keras, numpy as np\n"
        "model = keras.saving.load_model(sys.argv[1])\n"
        "assert type(model) is keras.Sequential, type(model)\n"
        "assert model.predict(np.zeros((2, 8, 8, 1)), verbose=0).shape == (2, 10)",
        tmp_path / "run" / "model.keras",
    )


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("Config = 1\n", "which lacks make_datasets, make_model"),
        (
            "Config = 1\nmake_datasets = make_model = None\n",
            "expected Config to be a dataclass",
        ),
    ],
)
def test_incomplete_recipes(tmp_path, source, message):
    path = tmp_path / "half.py"
    path.write_text(source)
    with pytest.raises(ks.RefusedError, match=message):
        ks.load_recipe(str(path))


def test_an_error_inside_a_recipe_is_its_authors_to_see(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("import no_such_module\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        ks.load_recipe(str(path))


def test_unknown_dotted_name():
    with pytest.raises(ks.RefusedError, match=r"no module has the name 'no\.such'"):
        ks.load_recipe("no.such")


def test_a_file_cannot_hide_another_module(tmp_path):
    """A recipe in a file called json.py is a recipe, and json stays json."""
    path = tmp_path / "json.py"
    path.write_text(textwrap.dedent(RECIPE))
    recipe = ks.load_recipe(str(path))
    assert recipe.name == "json"
    assert recipe.Config().epochs == 1
    assert json.loads("1") == 1


def test_a_module_is_a_recipe():
    from kerascale.recipes import mlp

    assert registry.load_recipe(mlp).Config is mlp.Config
