"""`kerascale evaluate RUN`: the final evaluation of a finished run, again."""

import dataclasses
import time
from collections.abc import Sequence
from typing import Literal

from kerascale.cli import parsing, quiet
from kerascale.cli.results import finish, metrics_table
from kerascale.errors import RefusedError

_USAGE = "RUN [--split test|validation|train] [--data DATASET] [--json]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Evaluate a finished run on one split of its data, or on other data."""

    split: Literal["test", "validation", "train"] = "test"
    """Which examples. Training never saw those of test."""
    data: str | None = None
    """Other data of the same form, such as csv:new.csv or images:FOLDER: its test
    examples, or all if it has no test split. Classes are told by their names."""
    label: str | None = None
    """Label column of csv: data given by --data. Default: that of the training."""
    json: bool = False
    """Print the result as one JSON object, the last line of standard output."""


def run(arguments: Sequence[str]) -> None:
    (path,), rest = parsing.positional(
        arguments, ["RUN"], program="kerascale evaluate", usage=_USAGE, options=Options
    )
    options = parsing.parse(Options, rest, program="kerascale evaluate RUN")
    _refuse_without_use(options)
    began = time.monotonic()

    quiet.import_tensorflow()
    from kerascale import strategies
    from kerascale.config import recipes
    from kerascale.runs.run import load_run
    from kerascale.training import build, evaluation

    finished = load_run(path)
    recipe = recipes.load_recipe(finished.recipe)
    if options.data is not None:
        what, source = {"data": options.data}, _other_data(finished, options)
    else:
        datasets = build.make_datasets(recipe, finished.config)
        _refuse_other_data(finished.info, datasets.info)
        what, source = {"split": options.split}, getattr(datasets, options.split)
        if source is None:
            raise RefusedError(
                f"split: {finished.info.name} has no {options.split} split."
            )
        source = source.for_evaluation()
    threshold = finished.metrics.get("threshold")
    metrics = {
        **what,
        **evaluation.evaluate(finished.model, source, finished.info, threshold),
    }
    summary = {
        "recipe": recipe.name,
        "run_dir": path,
        "metrics": metrics,
        "seconds": round(time.monotonic() - began, 3),
        **strategies.describe(finished.model.distribute_strategy),
    }
    finish(summary, as_json=options.json, text=metrics_table(metrics))


def _refuse_without_use(options: Options) -> None:
    problems = []
    if options.data is not None and options.split != "test":
        problems.append(
            f"--split: expected without --data. Received: {options.split}, with "
            f"--data {options.data}. Leave one of them out."
        )
    if options.data is None and options.label is not None:
        problems.append(
            f"--label: expected with --data. Received: {options.label} alone. Pass "
            "--data, too."
        )
    if problems:
        raise RefusedError(problems)


def _other_data(run, options: Options):
    from kerascale.datasets import other_data

    if run.info.kind is None:
        raise RefusedError(
            "--data: expected a run on a data set of kerascale's own. Received: one "
            "on tf.data. Call run.model.evaluate in Python."
        )
    return other_data.read_like(
        options.data,
        run.info,
        run.fields,
        vectorizer=run.vectorizer,
        label=options.label,
    )


def _refuse_other_data(then, now) -> None:
    if then.fingerprint != now.fingerprint:
        raise RefusedError(
            f"data: expected the examples that the run was trained on ({then.name}, "
            f"sha256 {then.fingerprint}). Received: others (sha256 "
            f"{now.fingerprint}). Bring the data back, or pass the new data with "
            "--data."
        )
