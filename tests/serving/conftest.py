"""One small run of each recipe, trained once, and what is served of it."""

import dataclasses
import functools
import pathlib

import pytest

import kerascale as ks

# As small as shows what is asked here: whether the same comes out.
_SMALL = {
    "mlp": {"units": (8,)},
    "cnn": {"filters": (4, 8), "dense_units": 8},
    "rnn": {"units": (8,)},
    "transformer": {"num_layers": 1, "num_heads": 2, "width": 8},
    "words": {"num_layers": 1, "num_heads": 2, "width": 8, "batch_size": 8},
    "language_model": {"num_layers": 1, "num_heads": 2, "width": 8, "max_length": 32},
}


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


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """Gives the run of a recipe, exported, by the recipe's name."""
    root = tmp_path_factory.mktemp("exported")

    @functools.cache
    def make(name):
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
        config = recipe.Config(epochs=1, **_SMALL[name], **data)
        ks.train(recipe, config, run_dir=root / "runs" / name)
        run = ks.load_run(root / "runs" / name)
        ks.export_saved_model(run, root / "served" / name)
        return Exported(run, root / "served" / name)

    return make
