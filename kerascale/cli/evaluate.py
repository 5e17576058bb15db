"""`kerascale evaluate RUN`: the final evaluation of a finished run, again."""

import dataclasses
import time
from collections.abc import Sequence
from typing import Literal

from kerascale.cli import parsing, quiet
from kerascale.cli.results import finish, metrics_table
from kerascale.errors import RefusedError

_USAGE = "RUN [--split test|validation|train] [--json]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Evaluate a finished run on one split of its data."""

    split: Literal["test", "validation", "train"] = "test"
    """Which examples. Training never saw those of test."""
    json: bool = False
    """Print the result as one JSON object, the last line of standard output."""


def run(arguments: Sequence[str]) -> None:
    (path,), rest = parsing.positional(
        arguments, ["RUN"], program="kerascale evaluate", usage=_USAGE, options=Options
    )
    options = parsing.parse(Options, rest, program="kerascale evaluate RUN")
    began = time.monotonic()

    quiet.import_tensorflow()
    from kerascale import strategies
    from kerascale.config import recipes
    from kerascale.runs.run import load_run
    from kerascale.training import build, evaluation

    finished = load_run(path)
    recipe = recipes.load_recipe(finished.recipe)
    datasets = build.make_datasets(recipe, finished.config)
    _refuse_other_data(finished.info, datasets.info)
    source = getattr(datasets, options.split)
    if source is None:
        raise RefusedError(f"split: {finished.info.name} has no {options.split} split.")
    metrics = {
        "split": options.split,
        **evaluation.evaluate(finished.model, source.for_evaluation(), datasets.info),
    }
    summary = {
        "recipe": recipe.name,
        "run_dir": path,
        "metrics": metrics,
        "seconds": round(time.monotonic() - began, 3),
        **strategies.describe(finished.model.distribute_strategy),
    }
    finish(summary, as_json=options.json, text=metrics_table(metrics))


def _refuse_other_data(then, now) -> None:
    if then.fingerprint != now.fingerprint:
        raise RefusedError(
            f"data: expected the examples that the run was trained on ({then.name}, "
            f"sha256 {then.fingerprint}). Received: others (sha256 "
            f"{now.fingerprint}). Bring the data back, or predict on the new data."
        )
