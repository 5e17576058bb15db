"""Answers of a run, with the group of each example."""

import dataclasses
import pathlib
from typing import Any

import numpy as np

from kerascale.datasets import carried, other_data
from kerascale.datasets.info import DataInfo
from kerascale.datasets.targets import decided
from kerascale.errors import RefusedError
from kerascale.reporting import mistakes
from kerascale.runs.run import Run
from kerascale.serving import batch_prediction
from kerascale.training import evaluation
from kerascale.trust import some_rows
from kerascale.trust.auditing import groups
from kerascale.trust.auditing.groups import Groups

# Rows of the training, and of the new data, that are compared.
_MOST_ROWS = 20_000


@dataclasses.dataclass(frozen=True)
class Answered:
    """What was asked, what is right, and what the model says.

    Args:
        what: The split, or the data, in a word.
        groups: The group of each example; None: nobody asked for groups.
        labels: As `Split.labels`.
        outputs: The model's, of shape (examples, outputs).
        training: Some training examples as the model takes them; None: not needed.
    """

    what: str
    groups: Groups | None
    labels: np.ndarray
    outputs: np.ndarray
    training: np.ndarray | None


def answered(
    run: Run, split: str, column: str | None, data: str | None, *, needs_training: bool
) -> Answered:
    """Reads a run's data again, and asks its model.

    Args:
        run: The run.
        split: Which examples, without `data`.
        column: The column of groups; None: none.
        data: Other labelled data, such as `csv:new.csv`; None: the run's own.
        needs_training: Whether training examples are needed.

    Raises:
        RefusedError: If the data or the column cannot be had.
    """
    with carried.column(column):
        datasets, own = mistakes.open_split(run, split)
    if data is None:
        what, source = split, own
        values = None
        if column is not None:
            values = datasets.origins.get(split)
            if values is None:
                raise RefusedError(
                    "--group: expected a run on csv:, parquet: or npz: data, or on "
                    "images: with labels.csv, that is in memory. Received: "
                    f"{column!r} of {run.info.name}."
                )
    else:
        what = data
        source = other_data.read_like(
            data, run.info, run.fields, vectorizer=run.vectorizer
        )
        values = None
        if column is not None:
            values = carried.values_of(data, column, run.config)
    labels, outputs = evaluation.answers(run.model, source, run.info)
    if values is not None and len(values) != len(labels):
        raise RefusedError(
            f"--group: expected a value of {column!r} for each of {len(labels):,} "
            f"examples. Received: {len(values):,}."
        )
    training = None
    if needs_training:
        train = datasets.train.for_evaluation()
        places = some_rows.spread(train.num_examples, _MOST_ROWS)
        training, _ = some_rows.at(train, places)
    return Answered(
        what,
        None if values is None else groups.of_values(column, values),
        labels,
        outputs,
        training,
    )


def new_examples(run: Run, name: str) -> np.ndarray:
    """Examples of new data as the model takes them; they need no labels.

    Args:
        run: The run.
        name: A file or folder, with or without `csv:` and the like before it.
    """
    prefix, colon, path = name.partition(":")
    known = ("csv", "parquet", "npz", "images")
    path = path if colon and prefix in known else name
    if not pathlib.Path(path).exists():
        raise RefusedError(
            f"--against: expected a file or a folder that exists. Received: {name}."
        )
    features, _, _ = batch_prediction.read_examples(run, pathlib.Path(path))
    return np.asarray(features)[:_MOST_ROWS]


Columns = dict[str, tuple[str, np.ndarray]]


def as_columns(run: Run, x: np.ndarray) -> Columns:
    """What a person knows of examples: name -> kind and one value of each.

    Args:
        run: The run.
        x: As its model takes them.
    """
    info = run.info
    if info.kind == "table":
        return _of_table(run.vectorizer, x)
    if info.kind == "text":
        lengths = (x != 0).sum(axis=1)
        unknown = (x == 1).sum(axis=1) / np.maximum(lengths, 1)
        return {
            "words": ("number", lengths.astype(float)),
            "share of unknown words": ("number", unknown.astype(float)),
        }
    flat = x.reshape(len(x), -1).astype(np.float64)
    if info.kind == "image":
        return {
            "brightness": ("number", flat.mean(axis=1)),
            "contrast": ("number", flat.std(axis=1)),
        }
    names = info.feature_names or [f"x{i}" for i in range(flat.shape[1])]
    return {n: ("number", flat[:, i]) for i, n in enumerate(names)}


def _of_table(encoder: Any, x: np.ndarray) -> Columns:
    found, start = {}, 0
    for column in encoder.read:
        cells = x[:, start : start + column.width].astype(np.float64)
        start += column.width
        if column.kind == "text":
            found[f"{column.name}: words"] = ("number", cells.sum(axis=1))
            continue
        is_category = column.kind in ("category", "boolean")
        if not is_category:
            kind = "date" if column.kind == "date" else "number"
            found[column.name] = (kind, cells[:, 0])
            continue
        names = np.array(["(none)", "(unknown)", *column.values], object)
        places = np.clip(cells[:, 0].astype(int), 0, len(names) - 1)
        found[column.name] = ("category", names[places].astype(str))
    return found


def output_columns(info: DataInfo, outputs: np.ndarray) -> Columns:
    """The model's answers, a column for each class or target."""
    names = info.class_names or info.target_names
    if len(names) == 2 and info.class_names:
        return {f"answer {names[1]}": ("number", outputs[:, 1].astype(float))}
    return {
        f"answer {name}": ("number", outputs[:, i].astype(float))
        for i, name in enumerate(names)
    }


def predicted(run: Run, outputs: np.ndarray) -> np.ndarray:
    """The class that is answered."""
    threshold = run.metrics.get("threshold") if run.info.task == "binary" else None
    return decided(outputs, threshold)
