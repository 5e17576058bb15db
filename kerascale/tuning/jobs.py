"""What a worker of a search does: it looks at a search, or trains one of its trials."""

import dataclasses
import math
import pathlib
import time
from collections.abc import Callable
from typing import Any

import keras

from kerascale import strategies
from kerascale.config.fields import to_dict
from kerascale.config.monitor import monitor_of
from kerascale.config.recipes import Recipe
from kerascale.datasets import Datasets
from kerascale.errors import RefusedError
from kerascale.runs import files, layout
from kerascale.training import monitored
from kerascale.training.build import make_datasets, make_model
from kerascale.training.evaluation import evaluate
from kerascale.training.seeding import seed
from kerascale.training.train import train
from kerascale.tuning import cross_validation, finder_jobs
from kerascale.tuning.loaded import loaded

# Seconds in which the process that had a trial before must have ended.
_RELEASE_SECONDS = 10.0


class PrunedError(Exception):
    """A trial that does not go on."""


class Report(keras.callbacks.Callback):
    """Says after each epoch what was reached, and ends a trial that does not go on.

    It has no memory that a checkpoint would have to keep: a run that goes on reads what
    was reached before from its own history.

    Args:
        goes_on: Asked with the epoch, from 1, and the value.
        metric: Whose value.
        run_dir: The run folder.
    """

    every_step = False

    def __init__(
        self, goes_on: Callable[[int, float], bool], metric: str, run_dir: pathlib.Path
    ) -> None:
        super().__init__()
        self._goes_on = goes_on
        self._metric = metric
        self._history = run_dir / layout.HISTORY
        self._told = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._told >= epoch:
            return
        before = files.read_history(self._history).get(self._metric, [])
        for step, value in enumerate(before[:epoch], 1):
            if step > self._told:
                self._tell(step, value)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        value = (logs or {}).get(self._metric)
        if value is None:
            raise RefusedError(
                f"monitor: expected one of {', '.join(sorted(logs or {}))}. Received: "
                f"{self._metric!r}."
            )
        self._tell(epoch + 1, float(value))

    def _tell(self, step: int, value: float) -> None:
        self._told = step
        if not self._goes_on(step, value):
            raise PrunedError(step)


def check(job: dict[str, Any], channel: Any) -> dict[str, Any]:
    """Looks whether a search can be: data, model and objective.

    Args:
        job: With `recipe`, `fields`, `objective` and `strategy`.
        channel: Not used.
    """
    del channel
    recipe, config = loaded(job)
    strategy = strategies.get(job["strategy"])
    problems: list[str] = []
    if _folds(config):
        config = dataclasses.replace(config, fold=0)
    seed(config)
    try:
        datasets = make_datasets(recipe, config)
    except RefusedError as error:
        problems += error.problems
        whole = {"folds": None, "fold": None, "group": None, "time": None}
        if not any(getattr(config, name, None) for name in whole):
            raise
        # What else is wrong is seen without what divides the data.
        config = dataclasses.replace(config, **whole)
        try:
            datasets = make_datasets(recipe, config)
        except RefusedError:
            raise RefusedError(problems) from error
    if datasets.validation is None:
        problems.append(
            "tune: expected data with validation examples, by which trials are "
            f"compared. Received: {config.dataset} without any."
        )
    with strategy.scope():
        model = make_model(recipe, config, datasets)
    try:
        monitored.refuse_unknown(model, config, has_validation=True)
    except RefusedError as error:
        problems += error.problems
    if _folds(config) and not problems:
        problems += _other_score(model, datasets, job["objective"])
    if problems:
        raise RefusedError(problems, heading="tune")
    return {"kind": "checked", "parameters": model.count_params()}


def _other_score(model: keras.Model, datasets: Datasets, objective: str) -> list[str]:
    """Why trainings on folds are not evaluated by a metric."""
    first = datasets.test.for_evaluation().first(1)
    known = [
        name
        for name, value in evaluate(model, first, datasets.info).items()
        if isinstance(value, int | float) and name != "examples"
    ]
    if objective in known:
        return []
    return [
        f"monitor: expected a metric of the evaluation, as folds are compared by it: "
        f"{', '.join(known)}. Received: {objective!r}"
    ]


def trial(job: dict[str, Any], channel: Any) -> dict[str, Any]:
    """Trains one trial, or goes on with it.

    Its run folder is that of `kerascale train` with the same fields, to the last bit;
    only that the test examples are not looked at.

    Args:
        job: With `recipe`, `fields`, `told`, `strategy` and `run_dir`.
        channel: Where to what was reached goes.
    """
    # First of all: TensorFlow must not run before it knows of other workers.
    strategies.get(job["strategy"])
    recipe, config = loaded(job)
    if _folds(config):
        return _trial_of_folds(job, recipe, config, channel)
    began = time.monotonic()
    run_dir = pathlib.Path(job["run_dir"])
    monitor = monitor_of(to_dict(config), has_validation=True)
    report = Report(channel.goes_on, monitor.name, run_dir)
    seed(config)
    datasets = _without_test(make_datasets(recipe, config))
    try:
        run = _trained(job, recipe, config, datasets=datasets, callbacks=[report])
    except PrunedError:
        return {"kind": "pruned", "seconds": time.monotonic() - began}
    values = run.history.get(monitor.name, [])
    if not values:
        raise RefusedError(
            "epochs: expected at least 1, after which a trial has a score. Received: 0."
        )
    place = monitor.best(values)
    return {
        "kind": "complete",
        "values": values,
        "score": values[place],
        "best_epoch": place + 1,
        "seconds": time.monotonic() - began,
    }


def _trial_of_folds(
    job: dict[str, Any], recipe: Recipe, config: Any, channel: Any
) -> dict[str, Any]:
    """Trains on one fold after the other; the score is the mean of theirs."""
    began = time.monotonic()
    monitor = monitor_of(to_dict(config), has_validation=True)
    scores, epochs, means = [], [], []
    for number in range(config.folds):
        run_dir = pathlib.Path(job["run_dir"], f"{layout.FOLD}{number}")
        own = dataclasses.replace(config, fold=number)
        metrics = cross_validation.finished(run_dir, own)
        if metrics is None:
            keras.backend.clear_session()
            fold_job = {**job, "run_dir": str(run_dir)}
            metrics = _trained(fold_job, recipe, own).metrics
        scores.append(float(metrics[job["objective"]]))
        means.append(math.fsum(scores) / len(scores))
        values = files.read_history(run_dir / layout.HISTORY).get(monitor.name, [0.0])
        epochs.append(monitor.best(values) + 1)
        if not channel.goes_on(number + 1, means[-1]):
            return {"kind": "pruned", "seconds": time.monotonic() - began}
    return {
        "kind": "complete",
        "values": means,
        "score": means[-1],
        "best_epoch": round(sum(epochs) / len(epochs)),
        "seconds": time.monotonic() - began,
    }


def final(job: dict[str, Any], channel: Any) -> dict[str, Any]:
    """Trains a run as `kerascale train` does, its test examples looked at.

    Args:
        job: As of `trial`.
        channel: Not used.
    """
    del channel
    recipe, config = loaded(job)
    run = _trained(job, recipe, config)
    return {"kind": "complete", "metrics": run.metrics}


JOBS = {"check": check, "trial": trial, "final": final, **finder_jobs.JOBS}


def _folds(config: Any) -> int | None:
    return getattr(config, "folds", None)


def _trained(job: dict[str, Any], recipe: Recipe, config: Any, **arguments: Any) -> Any:
    """Trains; where another process still has the folder, after it has let it go."""
    began = time.monotonic()
    while True:
        try:
            return train(
                recipe,
                config,
                strategy=job["strategy"],
                run_dir=job["run_dir"],
                told=job["told"],
                **arguments,
            )
        except RefusedError as error:
            is_held = "is held by another run" in str(error)
            if not is_held or time.monotonic() - began > _RELEASE_SECONDS:
                raise
            time.sleep(0.1)


def _without_test(datasets: Datasets) -> Datasets:
    """The same without test examples: a search does not look at them."""
    if datasets.test is None:
        return datasets
    counts = {n: c for n, c in datasets.info.num_examples.items() if n != "test"}
    info = dataclasses.replace(datasets.info, num_examples=counts)
    return dataclasses.replace(datasets, info=info, test=None)
