"""Finished runs as teachers: found, checked and loaded."""

import hashlib
import pathlib
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from kerascale.compression.distillation.teacher import Teacher
from kerascale.datasets import Datasets
from kerascale.errors import RefusedError
from kerascale.runs import layout
from kerascale.runs.run import Run, load_run


def problems_of(paths: Sequence[str]) -> list[str]:
    """What is wrong with folders that should hold finished runs."""
    problems = []
    for path in map(pathlib.Path, paths):
        reason = None
        if not path.is_dir():
            reason = "which is no folder. Train a teacher first"
        elif not (path / layout.CONFIG).is_file():
            reason = f"which holds no run (no {layout.CONFIG}). Name its run folder"
        elif not (path / layout.EVALUATION).is_file():
            reason = (
                "whose run is not finished. Type its command again with --run-dir "
                f"{path}, and it goes on"
            )
        elif not (path / layout.MODEL).is_file():
            reason = f"which has no {layout.MODEL} any more"
        if reason is not None:
            problems.append(
                f"teacher: expected the folder of a finished run. Received: {path}, "
                f"{reason}"
            )
    for path in dict.fromkeys(p for p in paths if list(paths).count(p) > 1):
        problems.append(f"teacher: expected each run once. Received: {path} twice")
    return problems


def sha256_of(path: str) -> str:
    """Of the file of a run's model."""
    content = (pathlib.Path(path) / layout.MODEL).read_bytes()
    return hashlib.sha256(content).hexdigest()


def load(paths: Sequence[str], datasets: Datasets) -> Teacher:
    """The teacher that several runs are together.

    Args:
        paths: Folders of finished runs.
        datasets: What the student is trained on.

    Raises:
        RefusedError: Naming each run that is damaged, has other classes, or takes other
            inputs.
    """
    info = datasets.info
    if info.task == "multilabel":
        raise RefusedError(
            "teacher: expected data of classes, whose probabilities a teacher gives, "
            f"or of numbers. Received: {info.name}, of the task {info.task}. Leave "
            "--teacher out."
        )
    problems, models = [], []
    for path in paths:
        try:
            run = load_run(path)
        except RefusedError as error:
            problems += [f"teacher {path}: {problem}" for problem in error.problems]
            continue
        found = _differences(run, datasets) or _unanswered(run, datasets)
        problems += [f"teacher {path}: {problem}" for problem in found]
        models.append(run.model)
    if problems:
        raise RefusedError(problems, heading="teacher")
    return Teacher(models, numbers=info.task == "regression")


def _differences(run: Run, datasets: Datasets) -> list[str]:
    """What its data has otherwise."""
    theirs, ours = run.info, datasets.info
    pairs: dict[str, tuple[Any, Any]] = {
        "data of this kind": (ours.kind, theirs.kind),
        "these classes": (ours.class_names, theirs.class_names),
        "these targets": (ours.target_names, theirs.target_names),
        "these columns": (ours.feature_names, theirs.feature_names),
    }
    if ours.kind != "corpus":  # Which it reads in windows of any length.
        pairs["inputs of this shape"] = (ours.input_shape, theirs.input_shape)
    problems = [
        f"expected {what}: {_short(mine)}. Received: {_short(other)}. Train it on the "
        "same data"
        for what, (mine, other) in pairs.items()
        if tuple_of(mine) != tuple_of(other)
    ]
    if not problems and datasets.vectorizer is not None:
        words = datasets.vectorizer.get_vocabulary()
        if run.vectorizer is None or run.vectorizer.get_vocabulary() != words:
            problems.append(
                "expected the vocabulary of this data. Received: another one, whose "
                "ids stand for other words. Train it on the same data"
            )
    return problems


def _unanswered(run: Run, datasets: Datasets) -> list[str]:
    """Why it cannot answer for a batch."""
    x, y = next(iter(datasets.train.for_evaluation().dataset().take(1)))
    x, y = (tf.nest.map_structure(lambda t: t[:2], part) for part in (x, y))
    try:
        shape = run.model(x, training=False).shape
    except (ValueError, tf.errors.InvalidArgumentError) as error:
        first = str(error).strip().splitlines()[0]
        return [f"expected a model that takes this data's batches. Received: {first}"]
    classes = datasets.info.num_classes or datasets.info.vocabulary_size
    expected = (*y.shape, classes) if classes else (*y.shape, shape[-1])
    if datasets.info.target_names:
        expected = (y.shape[0], len(datasets.info.target_names))
    if tuple(shape) != tuple(expected):
        return [
            f"expected answers of shape (batch, {str(expected[1:])[1:-1].rstrip(',')})."
            f" Received: {tuple(shape[1:])}"
        ]
    return []


def tuple_of(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _short(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
