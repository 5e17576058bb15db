"""Rows of another table as those of a training: the same columns, labels and kinds."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from kerascale.config.tasks import OF_CLASSES
from kerascale.datasets import targets_of_texts, text
from kerascale.datasets.raw import Kind, Split
from kerascale.datasets.sources.class_names import with_classes_of
from kerascale.datasets.sources.csv_options import CsvOptions
from kerascale.datasets.tables import frames, inference
from kerascale.datasets.tables.column import Column
from kerascale.errors import RefusedError


@dataclasses.dataclass(frozen=True)
class Labels:
    """The label columns of a training."""

    task: str
    columns: tuple[str, ...]
    class_names: tuple[str, ...]
    target_names: tuple[str, ...]


def rows_like(
    name: str,
    feature_names: Sequence[str],
    columns: Sequence[Column],
    kind: Kind,
    options: CsvOptions,
    labels: Labels,
) -> Split:
    """Rows of another table with the columns of a training, labels included."""
    prefix, _, path = name.partition(":")
    table = open_like(prefix, path, (*feature_names, *labels.columns), options)
    cells = table.cells(feature_names)
    if kind == "table":
        inference.unfit(columns, cells, feature_names, path)
    found = labels_like(table, path, labels)
    return Split(features(kind, cells, tuple(feature_names)), found)


def labels_like(table: frames.TextTable, path: str, labels: Labels) -> np.ndarray:
    """The labels of a table, as those of the training are."""
    cells = frames.stripped(table.cells(labels.columns))
    if labels.task in OF_CLASSES:
        found, names = targets_of_texts.classes_of_texts(
            cells[:, 0], path, labels.columns[0], None
        )
        own = Split(np.zeros((len(found), 1)), found)
        return with_classes_of(own, names, labels.class_names, path).labels
    found, names = targets_of_texts.of_texts(labels.task, cells, labels.columns, path)
    if names == labels.target_names:
        return found
    # Labels in one cell: those of the training, in its order.
    unknown = set(names) - set(labels.target_names)
    if unknown:
        raise RefusedError(
            f"{path}: expected labels among {', '.join(labels.target_names)}. "
            f"Received: {', '.join(sorted(unknown))}."
        )
    ordered = np.zeros((len(found), len(labels.target_names)), np.float32)
    for place, name in enumerate(names):
        ordered[:, labels.target_names.index(name)] = found[:, place]
    return ordered


def features_like(
    table: frames.TextTable, info: Any, vectorizer: Any, path: str
) -> np.ndarray:
    """Features as a model of a training takes them, out of another table."""
    if info.kind != "table":
        cells = table.cells(info.feature_names)
        found = features(info.kind, cells, info.feature_names)
        return text.encode(vectorizer, found) if info.kind == "text" else found
    names = [column.name for column in vectorizer.read]
    cells = table.cells(names)
    inference.unfit(vectorizer.read, cells, names, path)
    return vectorizer.encode(cells, names)


def open_like(
    prefix: str, path: str, columns: Sequence[str], options: CsvOptions
) -> frames.TextTable:
    """Some columns of a table, which must be there."""
    names = frames.names_of(prefix, path, options)
    missing = [name for name in columns if name not in names]
    if missing:
        raise RefusedError(
            f"{path}: expected the columns of the training data. Received: none named "
            f"{', '.join(map(repr, missing))}; there are {', '.join(names)}."
        )
    return frames.read(prefix, path, columns, options)


def features(kind: Kind, cells: np.ndarray, names: Sequence[str]) -> np.ndarray:
    if kind == "text":
        return cells[:, 0]
    if kind == "table":
        return cells
    found = np.empty(cells.shape, np.float32)
    for place, name in enumerate(names):
        with np.errstate(over="ignore"):
            found[:, place] = pd.to_numeric(cells[:, place], errors="coerce")
        if not np.isfinite(found[:, place]).all():
            row = int(np.flatnonzero(~np.isfinite(found[:, place]))[0])
            raise RefusedError(
                f"column {name!r}: expected a finite number in each row. Received: "
                f"{cells[row, place]!r} in row {row}, counted from 0."
            )
    return found


def as_labels(info: Any, label: str | None) -> Labels:
    """The label columns of a run's data."""
    columns = info.target_names
    if info.task in OF_CLASSES or (label is not None and "," not in label):
        columns = (label,)
    return Labels(info.task, tuple(columns), info.class_names, info.target_names)
