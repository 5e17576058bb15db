"""`train --folds`: a run for each fold, and what they come to."""

import dataclasses
import json
import math
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from kerascale.config.fields import to_dict
from kerascale.config.recipes import Recipe
from kerascale.errors import RefusedError
from kerascale.runs import layout, numbered
from kerascale.runtime import atomic_files, garbage, heartbeat
from kerascale.runtime.console import say
from kerascale.strategies import tf_config
from kerascale.tuning.metrics import numbers


def folder_of(run_dir: str | os.PathLike | None, recipe_name: str) -> pathlib.Path:
    """Where the runs go: a folder with a run in it for each fold.

    Args:
        run_dir: As the user has named it; None: `runs/RECIPE/N`.
        recipe_name: The recipe's name.

    Raises:
        RefusedError: If it holds something else.
    """
    if run_dir is not None:
        path = pathlib.Path(run_dir)
        if (path / layout.CONFIG).exists() or (path.exists() and not path.is_dir()):
            raise RefusedError(
                "run_dir: expected a new folder, or one of folds. Received: "
                f"{path}, which holds something else. Name another folder."
            )
        path.mkdir(parents=True, exist_ok=True)
        return path
    parent = pathlib.Path("runs", recipe_name)
    parent.mkdir(parents=True, exist_ok=True)
    return numbered.make_next(parent)


def refuse_several_workers() -> None:
    """Refuses what a restart of one of several workers would confuse.

    Raises:
        RefusedError: If this process is one of several, or is watched over.
    """
    workers = tf_config.from_environment()
    is_watched = heartbeat.restarted_in() is not None or heartbeat.FILE in os.environ
    if is_watched or (workers is not None and workers.num_workers > 1):
        raise RefusedError(
            "folds: expected one process. Received: one of several workers, or of a "
            "job that is started again. Launch a job for each fold: --fold 0, --fold 1."
        )


def run(
    recipe: Recipe,
    config: Any,
    folder: pathlib.Path,
    train: Callable[..., Any],
) -> dict[str, Any]:
    """Trains on each fold in turn; folds that have been trained are not trained again.

    Args:
        recipe: The recipe.
        config: Its configuration, with `folds` and without `fold`.
        folder: Where the runs go, each into `fold-N`.
        train: Called with the configuration of a fold and its folder.

    Returns:
        `folds`: the metrics of each; `mean` and `deviation` of each metric.
    """
    # It is collected after each fold.
    with garbage.only_of_new_objects():
        scores = _scores(config, folder, train)
    result = {
        "recipe": recipe.source,
        "folds": [_numbers(each) for each in scores],
        **moments([_numbers(each) for each in scores]),
    }
    with atomic_files.replacing(folder / layout.FOLDS) as temporary:
        temporary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return result


def _scores(
    config: Any, folder: pathlib.Path, train: Callable[..., Any]
) -> list[Mapping[str, Any]]:
    """The metrics of each fold."""
    scores = []
    for number in range(config.folds):
        path = folder / f"{layout.FOLD}{number}"
        own = dataclasses.replace(config, fold=number)
        before = finished(path, own)
        if before is not None:
            say(f"fold {number}: done before")
            scores.append(before)
            continue
        say(f"fold {number} of 0 to {config.folds - 1}")
        # Names of layers begin anew: the run is the one that it is alone. What is left
        # of the fold before is collected.
        keras.backend.clear_session()
        scores.append(train(own, path).metrics)
    return scores


def finished(path: pathlib.Path, config: Any) -> dict[str, Any] | None:
    """The metrics of a run that has finished; None: it has not, or has other fields.

    Args:
        path: The run folder.
        config: The configuration that it is to have.
    """
    try:
        content = json.loads((path / layout.CONFIG).read_text(encoding="utf-8"))
        metrics = json.loads((path / layout.EVALUATION).read_text(encoding="utf-8"))
        before, now = content["fields"], json.loads(json.dumps(to_dict(config)))
    except (OSError, ValueError, KeyError):
        return None
    chosen = ("execution", "steps_per_execution", "pack")
    is_same = all(before.get(n) == v for n, v in now.items() if n not in chosen)
    return metrics if is_same else None


def moments(scores: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Mean, and sample deviation, of each metric over the folds."""
    mean, deviation = {}, {}
    for name in scores[0]:
        values = [each[name] for each in scores if name in each]
        mean[name] = math.fsum(values) / len(values)
        squares = math.fsum((value - mean[name]) ** 2 for value in values)
        deviation[name] = math.sqrt(squares / max(1, len(values) - 1))
    return {"mean": mean, "deviation": deviation}


def table(result: Mapping[str, Any]) -> str:
    """What the folds came to, a line for each metric."""
    names = [name for name in result["mean"] if name != "examples"]
    width = max(map(len, names))
    lines = [
        f"  {name:<{width}}  {result['mean'][name]:.4f} +- "
        f"{result['deviation'][name]:.4f}   "
        + " ".join(f"{each[name]:.4f}" for each in result["folds"])
        for name in names
    ]
    return "\n".join(lines)


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in numbers(metrics).items()}
