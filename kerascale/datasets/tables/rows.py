"""Rows of another table, as those of a training: to evaluate, or to predict."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from kerascale.datasets.info import DataInfo
from kerascale.datasets.sources.csv_options import CsvOptions
from kerascale.datasets.tables import frames, like_training, told
from kerascale.errors import RefusedError
from kerascale.runtime.console import say


def read(
    path: str | os.PathLike,
    info: DataInfo,
    fields: Mapping[str, Any],
    vectorizer: Any,
    label: str | None,
    *,
    prefix: str | None = None,
    needs_labels: bool = False,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Features as a model takes them, and labels where their columns are there.

    Args:
        path: CSV or Parquet files.
        info: What is known of the data of the training.
        fields: The run's configuration: how a CSV file is written.
        vectorizer: The run's layer from cells to numbers, or from texts to ids.
        label: The label column or columns.
        prefix: `csv` or `parquet`; None: told by the name.
        needs_labels: Whether rows without labels are refused.

    Returns:
        Features; and class indices, or float32 of shape (rows, targets); or None.

    Raises:
        RefusedError: If the columns are not there, or hold something else.
    """
    path = os.fspath(path)
    if prefix is None:
        prefix = "parquet" if path.lower().endswith(".parquet") else "csv"
    options = options_of(fields)
    labels = like_training.as_labels(info, label)
    names = frames.names_of(prefix, path, options)
    missing = [name for name in labels.columns if name not in names]
    if missing and needs_labels:
        raise RefusedError(
            f"{path}: expected the label columns of the training. Received: none named "
            f"{', '.join(map(repr, missing))}. Pass --label."
        )
    asked = [
        c for c in info.feature_names if c in names or c in _read(vectorizer, info)
    ]
    wanted = (*asked, *(() if missing else labels.columns))
    table = like_training.open_like(prefix, path, wanted, options)
    features = like_training.features_like(table, info, vectorizer, path)
    if missing:
        return features, None
    if needs_labels:
        return features, like_training.labels_like(table, path, labels)
    try:
        return features, like_training.labels_like(table, path, labels)
    except RefusedError as error:
        say(f"no scores: {error}")
        return features, None


def options_of(fields: Mapping[str, Any]) -> CsvOptions:
    """How a CSV file is written; which columns are read is known by their names."""
    given = dict(fields)
    if told.file_of(tuple(given.get("columns") or ())) is not None:
        given["columns"] = []
    return CsvOptions.of(given).only(())


def _read(vectorizer: Any, info: DataInfo) -> list[str]:
    """Columns that must be there; one that was left out need not."""
    if info.kind != "table":
        return list(info.feature_names)
    return [column.name for column in vectorizer.read]
