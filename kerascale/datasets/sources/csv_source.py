"""`csv:PATH`: a table in CSV files."""

import os
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from kerascale.config.fields import nearest
from kerascale.datasets.raw import Kind, RawData
from kerascale.datasets.sources import tables
from kerascale.datasets.sources.checks import listing
from kerascale.datasets.sources.class_names import with_test_of
from kerascale.datasets.sources.csv_diagnosis import diagnose
from kerascale.datasets.sources.csv_files import DAMAGED, is_gzip
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


def with_test_file(
    raw: RawData,
    path: str,
    label: str,
    num_classes: int | None = None,
    options: CsvOptions = USUAL,
) -> RawData:
    """The data of `load_csv`, with the test examples of other files.

    Args:
        raw: What `load_csv` gave.
        path: Files with the same columns; others may be there.
        label: As in `load_csv`, like the next two.
        num_classes: As in `load_csv`.
        options: As in `load_csv`.

    Raises:
        RefusedError: With what is wrong in the files, or differs from the training's.
    """
    options = options.only(raw.feature_names)
    other = load_csv(path, label, num_classes, options, is_test=True)
    return with_test_of(raw, other, path)


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
    as_text = [n for n in names if kind == "text" or roles[n] == "ignored"]
    frame = _read_frame(path, names, as_text, options) if fits else None
    features = None
    if frame is not None:
        if kind == "vector":
            features = _numbers(frame, feature_names)
        else:
            features = _texts(frame[feature_names[0]])
        if _may_be_padded(frame, names, roles):
            diagnose(path, names, roles, options=options)
    if features is None:
        raise _refusal(path, names, roles, options)
    return features, frame


def _read_frame(
    path: str, names: tuple[str, ...], as_text: Sequence[str], options: CsvOptions
) -> pd.DataFrame | None:
    """The table as pandas reads it, or None if pandas refuses it."""
    try:
        return pd.read_csv(
            path,
            names=list(names),
            sep=options.delimiter,
            header=None if options.no_header else 0,
            dtype=dict.fromkeys(as_text, str),
            # An empty cell is a fault, and NA may be the name of a class.
            keep_default_na=False,
            # In one piece: otherwise a column can change its type half way.
            low_memory=False,
            # An empty line among texts would be skipped, and rows miscounted.
            skip_blank_lines=len(names) > 1,
            encoding="utf-8-sig",
            # By content, not by the end of the name.
            compression="gzip" if is_gzip(path) else None,
        )
    except (ValueError, *DAMAGED):  # pandas' ParserError and UnicodeDecodeError, too
        return None


def _may_be_padded(
    frame: pd.DataFrame, names: tuple[str, ...], roles: Mapping[str, str]
) -> bool:
    """pandas pads a short row with empty cells, whose other cells may be shifted.

    Where that is in a column that is looked at, it is found there.
    """
    last = names[-1]
    return roles[last] == "ignored" and bool(frame[last].isin(["", np.nan]).any())


def _numbers(frame: pd.DataFrame, columns: Sequence[str]) -> np.ndarray | None:
    """float32 (examples, columns), or None if a cell is not a finite number."""
    features = np.empty((len(frame), len(columns)), dtype=np.float32)
    for index, name in enumerate(columns):
        column = frame[name]
        if not pd.api.types.is_numeric_dtype(column):
            # Also integers beyond 64 bits, which pandas leaves as objects.
            column = pd.to_numeric(column.astype(str), errors="coerce")
        with np.errstate(over="ignore"):
            features[:, index] = column
    return features if np.isfinite(features).all() else None


def _texts(column: pd.Series) -> np.ndarray | None:
    """Object array of `str`, or None if a cell is empty."""
    column = column.astype(str)
    if (column.str.strip() == "").any():
        return None
    return column.to_numpy(dtype=object)


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
