"""One small run, and its ladder in TensorFlow, which needs no extra."""

import dataclasses
import pathlib
import shutil

import pytest
from helpers.shared import once

import kerascale as ks
from kerascale.compression.ladder.climb import Wishes, climb
from kerascale.compression.ladder.result import Ladder

WISHES = Wishes(levels=("int8-weights",), runtimes=("tensorflow",), max_drop=0.02)


@dataclasses.dataclass(frozen=True)
class Compressed:
    """A run with its ladder.

    Args:
        run: The run.
        ladder: What came of it.
        changes: The examples whose answer changed.
    """

    run: ks.Run
    ladder: Ladder
    changes: dict


@pytest.fixture(scope="session", autouse=True)
def _quick_runtimes(forked_runtimes):
    pass


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The folder of a run of `cnn`, in a folder that is shared: copy it to write."""

    def make(root):
        recipe = ks.load_recipe("cnn")
        config = recipe.Config(epochs=3, filters=(8, 16), dense_units=32)
        ks.train(recipe, config, run_dir=root / "run")

    return once(tmp_path_factory, "to-compress", make) / "run"


@pytest.fixture
def run_folder(trained, tmp_path):
    """A run that has no ladder yet."""
    return pathlib.Path(shutil.copytree(trained, tmp_path / "run"))


@pytest.fixture(scope="module")
def compressed(trained, tmp_path_factory):
    """The run, and its ladder."""
    folder = tmp_path_factory.mktemp("compressed") / "run"
    shutil.copytree(trained, folder)
    run = ks.load_run(folder)
    return Compressed(run, *climb(run, WISHES))
