"""Distillation as a change of a training: what `--teacher` does."""

from typing import Any

import keras
import tensorflow as tf

from kerascale.compression.distillation import answers, runs
from kerascale.compression.distillation.alike import alike
from kerascale.compression.distillation.distill import distill, finish
from kerascale.compression.distillation.hints import Hint
from kerascale.compression.distillation.teacher import Teacher
from kerascale.config.compression_conflicts import fields_set
from kerascale.config.fields import to_dict
from kerascale.datasets import Datasets
from kerascale.errors import RefusedError
from kerascale.optimizers.compile_task import regression_loss
from kerascale.runtime.console import counted, say
from kerascale.training.changes import Change
from kerascale.training.context import RunContext
from kerascale.training.evaluation import agreement, scores_of_callable


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
            self.strategy,
        )

    def change_model(self, model: keras.Model, context: RunContext) -> keras.Model:
        config, teacher = self.config, self._of(context.datasets)
        temperature = f"temperature {config.distill_temperature:g}, "
        if teacher.numbers:
            temperature = ""
        say(
            f"teacher: {counted(len(teacher.models), 'model')}, "
            f"{teacher.count_params():,} parameters; {temperature}alpha "
            f"{config.distill_alpha:g}"
        )
        info, hints = context.datasets.info, self._hints(model, teacher)
        inputs = None
        if hints:
            say(f"teacher: {', '.join(_text(hint) for hint in hints)}")
            batches = context.datasets.train.for_evaluation().dataset()
            x, *_ = next(iter(batches.take(1)))
            inputs = tf.nest.map_structure(lambda t: t[:2], x)
        return distill(
            model,
            None if self._is_cached else teacher,
            temperature=config.distill_temperature,
            alpha=config.distill_alpha,
            hints=hints,
            inputs=inputs,
            numbers_loss=regression_loss(info) if teacher.numbers else None,
        )

    def _hints(self, model: keras.Model, teacher: Teacher) -> list[Hint]:
        config, found = self.config, []
        for kind in ("features", "attention"):
            weight = getattr(config, f"distill_{kind}_weight")
            for name in getattr(config, f"distill_{kind}"):
                first, _, second = name.partition(":")
                pairs = [(first, second or first)]
                if (kind, name) == ("attention", "auto"):
                    pairs = alike(model, teacher.models[0])
                found += [Hint(kind, *pair, weight) for pair in pairs]
        return found

    def finish_model(self, model: keras.Model) -> keras.Model:
        return finish(model)

    def results(self, model: keras.Model, datasets: Datasets) -> dict[str, Any]:
        """How good the teacher is on the same examples, and how often both agree."""
        split = datasets.test or datasets.validation
        if split is None:
            return {}
        source = split.for_evaluation()
        if self._teacher.numbers:
            known = scores_of_callable(self._teacher, source, datasets.info)
            found = {f"teacher_{name}": known[name] for name in ("r2", "rmse", "mae")}
        else:
            both = agreement(model, self._teacher, source)
            found = {
                "teacher_accuracy": both.accuracy,
                "teacher_agreement": both.agreement,
            }
        return {
            **found,
            "teacher_parameters": self._teacher.count_params(),
            "parameters": model.count_params(),
        }

    def _of(self, datasets: Datasets) -> Teacher:
        if self._teacher is None:
            if datasets.info.task == "regression":
                self._refuse_what_classes_have()
            self._teacher = runs.load(self.config.teacher, datasets)
        return self._teacher

    def _refuse_what_classes_have(self) -> None:
        names = ("distill_temperature", "teacher_cache_top")
        problems = [
            f"{name}: expected only with classes, of which a teacher has probabilities."
            f" Received: {value!r}, and numbers to predict. Leave it out"
            for name, value in fields_set(self.config, names)
        ]
        if problems:
            raise RefusedError(problems, heading="teacher")


def _text(hint: Hint) -> str:
    return f"{hint.kind} of {hint.student} from {hint.teacher}"
