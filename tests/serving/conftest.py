"""One small run of each recipe, trained once, and what is served of it."""

import dataclasses
import functools
import pathlib

import pytest
from helpers import small
from helpers.shared import once

import kerascale as ks

_SMALL = {**small.FIELDS, "words": {**small.FIELDS["transformer"], "batch_size": 8}}


@dataclasses.dataclass(frozen=True)
class Exported:
    """A run, and its first version.

    Args:
        run: The run, as it was loaded from its folder.
        base: The folder of the versions.
    """

    run: ks.Run
    base: pathlib.Path

    @property
    def version(self):
        return self.base / "1"


@pytest.fixture(scope="session", autouse=True)
def _quick_exports(forked_loaders):
    """What they are tried by is tested by `kerascale export`."""


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """Gives the run of a recipe, exported, by the recipe's name."""

    def make(root, name):
        # A Transformer on words takes token ids behind a vocabulary.
        recipe = ks.load_recipe("transformer" if name == "words" else name)
        data = {}
        if name == "words":
            table = root / "words.csv"
            rows = [f"{w} thing {i},{w}\n" for i in range(60) for w in ("good", "bad")]
            table.write_text("text,about\n" + "".join(rows))
            data = {"dataset": f"csv:{table}", "label": "about"}
        if name == "language_model":
            text = root / "text.txt"
            text.write_text("The quick brown fox jumps over the lazy dog.\n" * 200)
            data = {"dataset": f"text:{text}"}
        config = recipe.Config(epochs=1, execution="fixed", **_SMALL[name], **data)
        ks.train(recipe, config, run_dir=root / "run")
        ks.export_saved_model(ks.load_run(root / "run"), root / "served" / name)

    @functools.cache
    def get(name):
        filled = functools.partial(make, name=name)
        root = once(tmp_path_factory, f"exported-{name}", filled)
        return Exported(ks.load_run(root / "run"), root / "served" / name)

    return get
