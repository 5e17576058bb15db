"""`csv:PATH`: a table in CSV files."""

import os
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from kerascale.config.fields import nearest
from kerascale.datasets.raw import Kind, RawData
from kerascale.datasets.sources import csv_frame, csv_memory, tables
from kerascale.datasets.sources.checks import listing
from kerascale.datasets.sources.csv_diagnosis import diagnose
from kerascale.datasets.sources.csv_options import USUAL, CsvOptions
from kerascale.datasets.sources.csv_rows import header_hint, read_header
from kerascale.datasets.sources.csv_table import open_csv
from kerascale.errors import RefusedError


def load_csv(
    path: str | os.PathLike[str],
    label: str | None,
    num_classes: int | None = None,
    options: CsvOptions = USUAL,
    *,
    is_test: bool = False,
) -> RawData:
    """Loads CSV files with one label column.

    If one other column is there and holds text, the data is `text`. Otherwise all
    other columns hold numbers (or True and False), and the data is `vector`. The
    labels are names or whole numbers; whole numbers are sorted as numbers.

    Args:
        path: A file in UTF-8, perhaps compressed with gzip; a folder of them; or a
            pattern, such as `parts/*.csv`. All have the same header, and are read in
            the order of their names.
        label: Name of the label column.
        num_classes: If given, labels are 0 to `num_classes - 1`. Otherwise the
            classes are the labels that occur.
        options: How the file is written. Default: commas, and a header line.
        is_test: Nothing is trained on it: it may have few rows of each class, and
            of one class only.

    Returns:
        Data of kind `vector` (float32) or `text`, with `feature_names`.

    Raises:
        RefusedError: With line and column of everything that is wrong.

    Example:

    >>> data = load_csv("iris.csv", label="species")
    """
    table = open_csv(path, label, num_classes, options, is_test=is_test)
    return tables.read(table)


def read_features(
    path: str | os.PathLike[str],
    kind: Kind,
    feature_names: Sequence[str],
    options: CsvOptions = USUAL,
) -> tuple[np.ndarray, pd.DataFrame]:
    """Reads the examples to predict: the columns of the training, by name.

    Args:
        path: The file, in UTF-8. Other columns may be there, in any order. Without a
            header they are told by their places, or, where there are no others, by
            their order.
        kind: `vector` or `text`, as in training.
        feature_names: `RawData.feature_names` of the training data.
        options: How the file is written, as that of the training was.

    Returns:
        The features as `Split.features` has them, columns in the order of
        `feature_names`; and the whole table, the other columns as text.

    Raises:
        RefusedError: With every column that is missing, or line and column of
            everything that is wrong.
    """
    path = os.fspath(path)
    if kind not in ("vector", "text"):
        raise RefusedError(
            f"Expected vector or text data for a CSV file. Received: {path!r} for a "
            f"model that was trained on {kind} data. Pass that kind of data."
        )
    names, fits = read_header(path, options)
    if options.no_header and len(names) == len(feature_names):
        names = tuple(feature_names)  # The label is not among them.
    missing = [name for name in feature_names if name not in names]
    if missing:
        hint = nearest(missing[0], names) or header_hint(names)
        raise RefusedError(
            f"{path}: expected the columns of the training data. Received: none named "
            f"{listing(missing)}; there are {listing(names)}.{hint}"
        )
    role = "number" if kind == "vector" else "text"
    roles = dict.fromkeys(names, "ignored") | dict.fromkeys(feature_names, role)
    csv_memory.refuse_too_much(path, names, roles, options)
    as_text = [n for n in names if kind == "text" or roles[n] == "ignored"]
    frame = csv_frame.read_frame(path, names, as_text, options) if fits else None
    features = None
    if frame is not None:
        if kind == "vector":
            features = csv_frame.numbers(frame, feature_names)
        else:
            features = csv_frame.texts(frame[feature_names[0]])
        if csv_frame.may_be_padded(frame, names, roles):
            diagnose(path, names, roles, options=options)
    if features is None:
        raise _refusal(path, names, roles, options)
    return features, frame


def _refusal(
    path: str,
    names: tuple[str, ...],
    roles: Mapping[str, str],
    options: CsvOptions,
) -> RefusedError:
    diagnose(path, names, roles, options=options)
    return RefusedError(
        f"{path}: expected a table that pandas can read. Received: one that it cannot, "
        "for a reason that was not found. Write it again with DataFrame.to_csv."
    )
