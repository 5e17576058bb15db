"""Recipes of other people: by path, by dotted name, through an entry point."""

import importlib.util
import json
import os
import re
import sys
import textwrap

import pytest

import kerascale as ks
from kerascale.config import recipes

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
def install(tmp_path, monkeypatch):
    """Makes packages with an entry point each, as `pip install` leaves them."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)

    def run(distribution, entry_point, files):
        for name, content in files.items():
            (site / name).parent.mkdir(parents=True, exist_ok=True)
            (site / name).write_text(content)
        info = site / f"{distribution}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n"
        )
        (info / "entry_points.txt").write_text(f"[kerascale.recipes]\n{entry_point}\n")
        return site

    return run


@pytest.fixture
def package(install):
    site = install(
        "others",
        "others = others_recipes",
        {"others_recipes/__init__.py": "", "others_recipes/linear.py": RECIPE.lstrip()},
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
        imported=True,
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

    assert recipes.load_recipe(mlp).Config is mlp.Config


# Packages of other people: listed without a line of them being executed ----------

BOMB = "raise SystemExit('executed')\n"
EMPTY = '"""First line."""\nConfig = make_datasets = make_model = None\n'


def test_listing_executes_nothing(install):
    install(
        "bombs",
        "bombs = bombs.recipes",
        {
            "bombs/__init__.py": BOMB,
            "bombs/recipes/__init__.py": BOMB,
            "bombs/recipes/quiet.py": '"""A quiet one."""\n' + BOMB,
            "bombs/recipes/_private.py": BOMB,
        },
    )
    names = ks.recipe_names()
    assert names["quiet"] == "A quiet one."
    assert "_private" not in names
    assert ks.load_recipe("mlp").name == "mlp"
    with pytest.raises(ks.RefusedError, match=r"There are: .*quiet"):
        ks.load_recipe("no_such_recipe")
    with pytest.raises(SystemExit, match="executed"):
        ks.load_recipe("quiet")


@pytest.mark.parametrize(
    ("files", "entry_point"),
    [
        # Folders without an __init__.py, at either level.
        (["spaces/recipes/found.py"], "spaces = spaces.recipes"),
        (["regular/__init__.py", "regular/sub/found.py"], "regular = regular.sub"),
        # One module, which takes the entry point's name.
        (["lone/__init__.py", "lone/module.py"], "found = lone.module"),
        (["top_module.py"], "found = top_module"),
    ],
)
def test_where_recipes_are_found(install, files, entry_point):
    install("places", entry_point, dict.fromkeys(files, EMPTY))
    assert ks.recipe_names()["found"] == "First line."
    assert not {"spaces", "regular", "lone", "top_module"} & set(sys.modules)


def test_an_editable_install_is_found(install, tmp_path, monkeypatch):
    """Its finder stands on sys.meta_path, and knows the one dotted name."""
    install("edited", "edited = edited.recipes", {})
    source = tmp_path / "checkout"
    source.mkdir()
    (source / "__init__.py").write_text(BOMB)
    (source / "mended.py").write_text(EMPTY)

    class Finder:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name in ("edited", "edited.recipes"):
                return importlib.util.spec_from_file_location(
                    name, source / "__init__.py"
                )
            return None

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder, object()])
    assert ks.recipe_names()["mended"] == "First line."


@pytest.mark.parametrize(
    ("entry_point", "reason"),
    [
        ("broken = not_there.recipes", "no module has the name not_there"),
        ("broken = half.not_there", r"no module has the name half\.not_there"),
        ("broken = half.sub:recipe", "expected a package or a module"),
        ("broken = half.empty", "expected a package with recipes in it"),
        ("bro-ken = half.sub", "expected a name of letters"),
        ("broken = sys", "the module sys has no file"),
    ],
)
def test_what_is_broken_is_listed_with_the_reason(install, entry_point, reason):
    files = {"half/__init__.py": BOMB, "half/sub.py": EMPTY, "half/empty/no.txt": ""}
    install("half", entry_point, files)
    own = {name: line for name, line in ks.recipe_names().items() if "ken" not in name}
    name = entry_point.partition(" ")[0]
    assert re.fullmatch(rf"\(cannot be read: {reason}.*\)", ks.recipe_names()[name])
    assert {"mlp", "cnn", "rnn", "transformer", "language_model"} <= set(own)
    assert not any("cannot be read" in line for line in own.values())
    with pytest.raises(ks.RefusedError, match=reason if name == "broken" else "name"):
        ks.load_recipe(name)


def test_a_source_that_is_no_python(install):
    install("odd", "odd = odd", {"odd/__init__.py": "", "odd/strange.py": "def ("})
    assert "cannot be read: " in ks.recipe_names()["strange"]


def test_our_own_names_cannot_be_taken(install):
    before = ks.recipe_names()
    install("thief", "mlp = thief", {"thief/__init__.py": BOMB, "thief/cnn.py": EMPTY})
    install("broken", "rnn = not_there", {})
    assert ks.recipe_names() == before
    assert ks.load_recipe("cnn").module.__name__ == "kerascale.recipes.cnn"


def test_a_name_that_two_packages_offer_is_refused(install):
    for name in ("one", "two"):
        module = RECIPE.replace("from outside", f"of {name}").lstrip()
        files = {f"{name}_pkg/__init__.py": "", f"{name}_pkg/twin.py": module}
        install(name, f"{name} = {name}_pkg", files)
    assert ks.recipe_names()["twin"] == "(several: one_pkg.twin and two_pkg.twin)"
    with pytest.raises(ks.RefusedError, match=r"one_pkg\.twin and two_pkg\.twin"):
        ks.load_recipe("twin")
    assert "of two" in ks.load_recipe("two_pkg.twin").doc


def test_a_package_that_is_found_twice_is_one(install):
    """As in a checkout, which is installed and in the current folder."""
    files = {"doubled/__init__.py": "", "doubled/same.py": EMPTY}
    install("doubled", "doubled = doubled", files)
    install("doubled_again", "doubled = doubled", files)
    assert ks.recipe_names()["same"] == "First line."


# Recipes by path ------------------------------------------------------------------


def test_a_file_is_loaded_once_and_again_when_it_changes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "linear.py"
    path.write_text(RECIPE.lstrip())
    first = ks.load_recipe("./linear.py")
    assert ks.load_recipe(str(path)) is first
    path.write_text(RECIPE.lstrip().replace("= 1\n", "= 123\n"))
    assert ks.load_recipe("./linear.py").Config().epochs == 123
    assert first.Config().epochs == 1


def test_a_config_of_a_path_recipe_is_taken_by_train(tmp_path):
    path = tmp_path / "linear.py"
    path.write_text(RECIPE.lstrip())
    config = ks.load_recipe(str(path)).Config(epochs=0)
    run = ks.train(str(path), config, run_dir=tmp_path / "run")
    assert ks.load_run(run.path).config == config


def test_a_file_that_fails_leaves_no_half_module(tmp_path):
    path = tmp_path / "linear.py"
    path.write_text("1 / 0\n")
    before = set(sys.modules)
    with pytest.raises(ZeroDivisionError):
        ks.load_recipe(str(path))
    assert not {name for name in set(sys.modules) - before if "kerascale_file" in name}
