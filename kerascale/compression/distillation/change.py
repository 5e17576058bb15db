"""Distillation as a change of a training: what `--teacher` does."""

from typing import Any

import keras

from kerascale.compression.distillation import answers, runs
from kerascale.compression.distillation.distill import distill
from kerascale.compression.distillation.teacher import Teacher
from kerascale.config.fields import to_dict
from kerascale.datasets import Datasets
from kerascale.runtime.console import counted, say
from kerascale.training.changes import Change
from kerascale.training.context import RunContext
from kerascale.training.evaluation import agreement


class Distillation(Change):
    """A student that learns from finished runs. See `Change`."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._hashes: dict[str, str] = {}
        self._teacher: Teacher | None = None
        self._is_cached = False

    def check(self) -> list[str]:
        paths = self.config.teacher
        problems = runs.problems_of(paths)
        if not problems:
            self._hashes = {f"teacher {p}": runs.sha256_of(p) for p in paths}
        return problems

    def depends_on(self) -> dict[str, str]:
        return self._hashes

    def change_datasets(self, datasets: Datasets) -> Datasets:
        if not self.config.teacher_cache:
            return datasets
        self._is_cached = True
        return answers.attached(
            datasets,
            self._of(datasets),
            list(self._hashes.values()),
            to_dict(self.config),
        )

    def change_model(self, model: keras.Model, context: RunContext) -> keras.Model:
        config, teacher = self.config, self._of(context.datasets)
        say(
            f"teacher: {counted(len(teacher.models), 'model')}, "
            f"{teacher.count_params():,} parameters; temperature "
            f"{config.distill_temperature:g}, alpha {config.distill_alpha:g}"
        )
        return distill(
            model,
            None if self._is_cached else teacher,
            temperature=config.distill_temperature,
            alpha=config.distill_alpha,
        )

    def results(self, model: keras.Model, datasets: Datasets) -> dict[str, Any]:
        """How good the teacher is on the same examples, and how often both agree."""
        split = datasets.test or datasets.validation
        if split is None:
            return {}
        found = agreement(model, self._teacher, split.for_evaluation())
        return {
            "teacher_accuracy": found.accuracy,
            "teacher_agreement": found.agreement,
            "teacher_parameters": self._teacher.count_params(),
            "parameters": model.count_params(),
        }

    def _of(self, datasets: Datasets) -> Teacher:
        if self._teacher is None:
            self._teacher = runs.load(self.config.teacher, datasets)
        return self._teacher
