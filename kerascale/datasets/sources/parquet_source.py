"""`parquet:PATH`: a table in Parquet files."""

import os
from collections.abc import Sequence

import numpy as np
import pandas as pd

from kerascale.config.fields import nearest
from kerascale.datasets.raw import Kind, RawData
from kerascale.datasets.sources import parquet_files, tables
from kerascale.datasets.sources.checks import listing
from kerascale.datasets.sources.csv_diagnosis import Lines, diagnose_all
from kerascale.datasets.sources.csv_options import USUAL, CsvOptions
from kerascale.datasets.sources.parquet_table import (
    cells,
    numbers,
    open_parquet,
    refuse_other_types,
    texts,
)
from kerascale.errors import RefusedError


def load_parquet(
    path: str | os.PathLike[str],
    label: str | None,
    num_classes: int | None = None,
    options: CsvOptions = USUAL,
    *,
    is_test: bool = False,
) -> RawData:
    """Loads Parquet files with one label column.

    One other column of text makes data of kind `text`. Otherwise all other columns hold
    numbers, or True and False, and the data is `vector`. Labels are whole numbers,
    names, or True and False. Only the columns that are needed are read.

    Args:
        path: A file; a folder of files; or a pattern, such as `parts/*.parquet`. All
            have the same columns, and are read in the order of their names.
        label: Name of the label column.
        num_classes: If given, labels are 0 to `num_classes - 1`. Otherwise the
            classes are the labels that occur.
        options: Which columns are features.
        is_test: Nothing is trained on it: it may have few rows of each class, and
            of one class only.

    Returns:
        Data of kind `vector` (float32) or `text`, with `feature_names`.

    Raises:
        RefusedError: With row, counted from 0, and column of everything that is wrong.

    Example:

    >>> data = load_parquet("iris.parquet", label="species")
    """
    return tables.read(open_parquet(path, label, num_classes, options, is_test=is_test))


def read_features(
    path: str | os.PathLike[str],
    kind: Kind,
    feature_names: Sequence[str],
    label: str | None = None,
) -> tuple[np.ndarray, pd.DataFrame]:
    """Reads the examples to predict: the columns of the training, by name.

    Args:
        path: Files as in `load_parquet`. Other columns may be there.
        kind: `vector` or `text`, as in training.
        feature_names: `RawData.feature_names` of the training data.
        label: The label column of the training, which may be missing.

    Returns:
        The features as `Split.features` has them; and the labels, if they are there.

    Raises:
        RefusedError: With every column that is missing, or row and column of everything
            that is wrong.
    """
    path = os.fspath(path)
    files = parquet_files.open_files(path)
    missing = [name for name in feature_names if name not in files.types]
    if missing:
        raise RefusedError(
            f"{path}: expected the columns of the training data. Received: none named "
            f"{listing(missing)}; there are {listing(files.types)}."
            f"{nearest(missing[0], files.types)}"
        )
    features = tuple(feature_names)
    refuse_other_types(files, features)
    others = (label,) if label in files.types and label not in features else ()
    found, labels = [], []
    try:
        for batch, _, _, _ in files.batches((*features, *others)):
            columns = batch.columns[: len(features)]
            found.append(texts(columns[0]) if kind == "text" else numbers(columns))
            labels += [
                value for c in batch.columns[len(features) :] for value in c.to_pylist()
            ]
    except tables.UnusableError as error:
        role = "text" if kind == "text" else "number"
        lines = [
            Lines(file, lambda number=number: cells(files, number, features), "row")
            for number, file in enumerate(files.files)
        ]
        diagnose_all(path, lines, features, dict.fromkeys(features, role))
        raise RefusedError(
            f"{path}: expected {kind} data, as the run was trained on. Received: "
            "columns of other types. Convert them."
        ) from error
    return np.concatenate(found), pd.DataFrame({name: labels for name in others})
