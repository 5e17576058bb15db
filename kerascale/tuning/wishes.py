"""What a search is asked for, and what makes it the same search."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

from kerascale.config.fields import to_dict
from kerascale.config.monitor import Monitor, monitor_of
from kerascale.config.recipes import Recipe
from kerascale.tuning.planned import BLIND, Sampler
from kerascale.tuning.pruning import Pruner
from kerascale.tuning.space import Dimension, values_of


@dataclasses.dataclass(frozen=True)
class Search:
    """A search over the fields of a recipe.

    Args:
        recipe: What is trained.
        config: Its configuration; the values of what is searched do not matter.
        dimensions: What is searched.
        sampler: Who chooses the values of a trial.
        pruner: Who ends a trial early.
        concurrency: How many trials may run at once, over all processes.
        strategy: Where a trial trains.
        workers: How many processes train a trial together.
        told: Field -> where its value came from.
    """

    recipe: Recipe
    config: Any
    dimensions: tuple[Dimension, ...]
    sampler: Sampler = "tpe"
    pruner: Pruner = "hyperband"
    concurrency: int = 4
    strategy: str = "auto"
    workers: int = 1
    told: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def folds(self) -> int | None:
        """How many trainings a trial has; None: one, without folds."""
        return getattr(self.config, "folds", None)

    @property
    def objective(self) -> Monitor:
        """The number by which trials are compared."""
        monitor = monitor_of(to_dict(self.config), has_validation=True)
        if self.folds is None:
            return monitor
        return dataclasses.replace(monitor, name=monitor.name.removeprefix("val_"))

    @property
    def steps(self) -> int:
        """How many values a trial reports: of epochs, or of folds."""
        epochs = [getattr(self.config, "epochs", 1)]
        for each in self.dimensions:
            if each.name == "epochs":
                epochs = [int(value) for value in each.choices or (each.high,)]
        return self.folds or max(1, *epochs)

    @property
    def is_free(self) -> bool:
        """Whether no trial depends on the results of others."""
        return self.sampler in BLIND and self.pruner == "none"

    @property
    def seed(self) -> int:
        return getattr(self.config, "seed", 0)

    def fields(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration of a trial, as plain values."""
        chosen = values_of(self.dimensions, params)
        plain = {n: list(v) if isinstance(v, tuple) else v for n, v in chosen.items()}
        return {**to_dict(self.config), **plain}

    def identity(self) -> dict[str, Any]:
        """What makes it the same search, as JSON has it. Not how many trials it has."""
        searched = {d.name for d in self.dimensions}
        fixed = {n: v for n, v in to_dict(self.config).items() if n not in searched}
        identity = {
            "recipe": self.recipe.source,
            "searched": {d.name: d.text for d in self.dimensions},
            "sampler": self.sampler,
            "pruner": self.pruner,
            "concurrency": self.concurrency,
            "objective": self.objective.name,
            "direction": self.objective.mode,
            "fields": fixed,
        }
        if self.workers > 1:  # Sums of several round differently.
            identity["workers"] = self.workers
        return json.loads(json.dumps(identity))

    def name(self) -> str:
        """Of the study: one for each search."""
        text = json.dumps(self.identity(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:10]


Kind = Literal["complete", "pruned", "failed"]


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a trial ended.

    Args:
        kind: Pruned trials are no failures.
        score: Of the objective; None: it failed.
        reason: Why it failed.
        best_epoch: From 1: the epoch with that score, where there is one.
    """

    kind: Kind
    score: float | None = None
    reason: str = ""
    best_epoch: int | None = None
