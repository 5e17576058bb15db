"""Short trainings that answer a question, and leave no run behind."""

import contextlib
import dataclasses
import pathlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from kerascale.config import CheckpointPolicy
from kerascale.datasets import Datasets
from kerascale.datasets.source import Source
from kerascale.errors import RefusedError, StoppedError
from kerascale.training.evaluation import evaluate

# Steps in an epoch of the same batches: enough to see the loss move between epochs.
_MOST_STEPS = 100
# What is left of the loss where a model learns, and where it does not. In between it
# learns too slowly to say.
_LEARNED = 0.5
_NOT_LEARNED = 0.95


@dataclasses.dataclass(frozen=True)
class DryRun:
    """A training that is not meant to give a model.

    Args:
        fast_dev_run: One update, and one batch of validation and evaluation: to see
            that all of it works.
        overfit_batches: Train on that many batches alone, again and again: to see
            whether the model can learn at all; or None.
    """

    fast_dev_run: bool = False
    overfit_batches: int | None = None

    def __bool__(self) -> bool:
        return self.fast_dev_run or self.overfit_batches is not None

    @property
    def name(self) -> str:
        """As a person knows it; empty for a training that counts."""
        if self.fast_dev_run:
            return "fast dev run"
        return "" if self.overfit_batches is None else "overfitting"

    @property
    def note(self) -> str:
        """What is said in place of the run folder's name."""
        if self.fast_dev_run:
            return (
                "fast dev run: one batch of training, validation and evaluation; its "
                "run folder is temporary, and nothing is kept"
            )
        if self.overfit_batches is None:
            return ""
        return (
            "overfitting: the same batches again and again, without augmentation and "
            "validation; the run folder is temporary, and nothing is kept"
        )


def refuse_contradictions(dry: DryRun, run_dir: Any, policy: CheckpointPolicy) -> None:
    """Refuses what cannot be had together with a dry run.

    Raises:
        RefusedError: Naming every problem.
    """
    problems = []
    count = dry.overfit_batches
    if count is not None and (type(count) is not int or count < 1):
        problems.append(
            f"overfit_batches: expected an integer >= 1. Received: {count!r:.80}."
        )
    if dry.fast_dev_run and count is not None:
        problems.append(
            "fast_dev_run and overfit_batches: expected at most one of them. Received: "
            "both. Leave one out."
        )
    if dry:
        given = {
            "run_dir": run_dir is not None,
            "fresh": policy.fresh,
            "resume_from": policy.resume_from is not None,
        }
        problems += [
            f"{name}: expected none with a {dry.name}, which leaves no run "
            "folder. Received: one. Leave it out."
            for name, is_given in given.items()
            if is_given
        ]
    if problems:
        raise RefusedError(problems, heading="train")


@contextlib.contextmanager
def temporary_folder(dry: DryRun) -> Iterator[pathlib.Path | None]:
    """A place for the run folder, gone at the end; None for a training that counts.

    Raises:
        StoppedError: If a signal asked to stop: nothing was kept.
    """
    if not dry:
        yield None
        return
    parent = pathlib.Path(tempfile.mkdtemp(prefix="kerascale-dry-run-"))
    try:
        yield parent / "run"
    except StoppedError as stopped:
        raise StoppedError(stopped.step, is_kept=False) from stopped
    finally:
        shutil.rmtree(parent, ignore_errors=True)


def limited(dry: DryRun, datasets: Datasets, config: Any) -> Datasets:
    """The data of a dry run: a part of the whole.

    Args:
        dry: Which one.
        datasets: The data of the training that it is for.
        config: The recipe's configuration.

    Raises:
        RefusedError: If there are fewer batches than are wanted.
    """
    if dry.fast_dev_run:
        # An update takes this many batches.
        micro = getattr(config, "gradient_accumulation_steps", 1)
        sources = {
            "train": datasets.train.first(micro),
            "validation": datasets.validation and datasets.validation.first(1),
            "test": datasets.test and datasets.test.first(1),
        }
    else:
        train, once = _repeated(datasets.train, dry.overfit_batches)
        # What is evaluated at the end is what was trained on.
        sources = {"train": train, "validation": None, "test": once}
    counts = {k: v.num_examples for k, v in sources.items() if v is not None}
    if dry.overfit_batches:
        counts = {"train": counts["test"]}
    info = dataclasses.replace(datasets.info, num_examples=counts)
    return dataclasses.replace(datasets, info=info, **sources)


def limited_config(dry: DryRun, config: Any) -> Any:
    """The configuration of a dry run: a fast dev run has one epoch."""
    one = {"epochs": 1, "max_steps": None}
    known = {name: one[name] for name in one if hasattr(config, name)}
    is_more = getattr(config, "epochs", 1) > 1 or getattr(config, "max_steps", None)
    if dry.fast_dev_run and is_more:
        return dataclasses.replace(config, **known)
    return config


def _repeated(source: Source, count: int) -> tuple[Source, Source]:
    """The first batches of the first epoch, as they are: again and again, and once."""
    available = source.num_full_batches
    if count > available:
        raise RefusedError(
            f"overfit_batches: expected at most {available}, the full batches of an "
            f"epoch. Received: {count}. Take fewer, or a smaller batch_size."
        )
    # About as many steps as an epoch has: schedules count in epochs.
    times = max(1, min(source.steps_per_epoch, _MOST_STEPS) // count)
    return source.repeated(count, times)


def loss_before(dry: DryRun, model: keras.Model, datasets: Datasets) -> float | None:
    """The loss on the batches of an overfitting before its first step; else None."""
    if not dry.overfit_batches:
        return None
    source = datasets.test.for_evaluation()
    return float(evaluate(model, source, datasets.info)["loss"])


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether a model has learned its batches.

    Args:
        learned: `yes`, `no`, or `a little`: too little to say.
        text: The same for a person.
    """

    learned: str
    text: str


def judge(count: int, metrics: Mapping[str, Any]) -> Verdict:
    """Whether the loss on the same batches came down.

    Args:
        count: How many batches there are.
        metrics: With `loss_before` the first step, and `loss` after the last.
    """
    batches = "the same batch" if count == 1 else f"the same {count} batches"
    first, last = metrics["loss_before"], metrics["loss"]
    moved = f"from {first:.4g} before the first step to {last:.4g} after the last"
    share = last / first if first > 0 else (0.0 if last < first else 1.0)
    if share <= _LEARNED:
        return Verdict(
            "yes",
            f"overfitting: the loss on {batches} came down, {moved}: the model can "
            "learn.",
        )
    if share <= _NOT_LEARNED:
        return Verdict(
            "a little",
            f"overfitting: the loss on {batches} came down a little, {moved}. Train "
            "for more epochs, or with a higher learning rate or less regularization.",
        )
    return Verdict(
        "no",
        f"overfitting: the loss on {batches} did NOT come down, {moved}. A model that "
        "cannot learn these learns nothing from more: look at the labels, the loss, "
        "the learning rate and the normalization of the inputs.",
    )
