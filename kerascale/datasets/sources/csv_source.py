"""`csv:PATH`: a table in a CSV file."""

import dataclasses
import os
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from kerascale.config.fields import nearest
from kerascale.datasets.raw import Kind, RawData, Split
from kerascale.datasets.sources.checks import listing
from kerascale.datasets.sources.class_names import with_classes_of
from kerascale.datasets.sources.csv_diagnosis import diagnose, label_fault, whole_number
from kerascale.datasets.sources.csv_faults import say_merged
from kerascale.datasets.sources.csv_files import DAMAGED, is_gzip
from kerascale.datasets.sources.csv_options import USUAL, CsvOptions
from kerascale.datasets.sources.csv_rows import header_hint, parse_number, read_header
from kerascale.datasets.sources.label_checks import (
    check_class_count,
    check_num_classes,
    looks_measured,
)
from kerascale.errors import RefusedError


def load_csv(
    path: str | os.PathLike[str],
    label: str | None,
    num_classes: int | None = None,
    options: CsvOptions = USUAL,
    *,
    is_test: bool = False,
) -> RawData:
    """Loads a CSV file with one label column.

    If one other column is there and holds text, the data is `text`. Otherwise all
    other columns hold numbers (or True and False), and the data is `vector`. The
    labels are names or whole numbers; whole numbers are sorted as numbers.

    Args:
        path: The file, in UTF-8.
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
    path = os.fspath(path)
    check_num_classes(num_classes)
    names, fits = read_header(path, options)
    columns, problems = options.feature_columns(path, names, label)
    if label is None:
        problems.insert(
            0,
            f"{path}: expected the name of the label column. Received: none. The "
            f"columns are {listing(names)}.{header_hint(names)} Pass --label COLUMN.",
        )
    elif label not in names:
        problems.insert(
            0,
            f"{path}: expected a label column. Received: {label!r}, which is not among "
            f"{listing(names)}.{nearest(label, names)}{header_hint(names)}",
        )
    if problems:
        raise RefusedError(problems, heading=f"{path} cannot be used")
    ignored = [name for name in names if name != label and name not in columns]
    roles = dict.fromkeys(ignored, "ignored") | dict.fromkeys(columns, "feature")
    roles[label] = "test label" if is_test else "label"
    frame = _read_frame(path, names, (label, *ignored), options) if fits else None
    if frame is not None and _may_be_padded(frame, names, roles):
        diagnose(path, names, roles, num_classes, options)
    labels = None if frame is None else _label_indices(frame[label], num_classes)
    if labels is not None:
        kind, features = "vector", _numbers(frame, columns)
        if features is None and len(columns) == 1:
            kind, features = "text", _texts(frame[columns[0]], is_text=False)
    may_be_measured = labels is not None and num_classes is None and not is_test
    if may_be_measured and _look_measured(*labels):
        labels = None
    if labels is None or features is None:
        raise _refusal(path, names, roles, num_classes, options)
    if kind == "vector" and not is_test:
        say_merged(path, frame[list(columns)], features)
    class_names, indices = labels
    if not is_test:
        check_class_count(f"{path}, column {label!r}", len(np.unique(indices)))
    return RawData(
        name=f"csv:{path}",
        kind=kind,
        class_names=class_names,
        train=Split(features, indices),
        feature_names=columns,
    )


def with_test_file(
    raw: RawData,
    path: str,
    label: str,
    num_classes: int | None = None,
    options: CsvOptions = USUAL,
) -> RawData:
    """The data of `load_csv`, with the test examples of another file.

    Args:
        raw: What `load_csv` gave.
        path: A file with the same columns; others may be there.
        label: As in `load_csv`, like the next two.
        num_classes: As in `load_csv`.
        options: As in `load_csv`.

    Raises:
        RefusedError: With what is wrong in the file, or differs from the training's.
    """
    options = dataclasses.replace(options, columns=raw.feature_names, drop_columns=())
    other = load_csv(path, label, num_classes, options, is_test=True)
    if other.kind != raw.kind:
        raise RefusedError(
            f"{path}: expected {raw.kind} data, as {raw.name} is. Received: "
            f"{other.kind} data. Give both files the same columns."
        )
    test = with_classes_of(other.train, other.class_names, raw.class_names, path)
    if other.kind == "vector":  # The columns may stand in another order.
        order = [other.feature_names.index(name) for name in raw.feature_names]
        test = dataclasses.replace(test, features=test.features[:, order])
    return dataclasses.replace(raw, test=test)


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
            features = _texts(frame[feature_names[0]], is_text=True)
        if _may_be_padded(frame, names, roles):
            diagnose(path, names, roles, options=options)
    if features is None:
        raise _refusal(path, names, roles, options=options)
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


def _texts(column: pd.Series, *, is_text: bool) -> np.ndarray | None:
    """Object array of `str`, or None if this is no text, or a cell is empty.

    Args:
        column: The column.
        is_text: It is text, even if its cells are numbers.
    """
    column = column.astype(str)
    if (column.str.strip() == "").any():
        return None
    if not is_text:
        numbers = pd.to_numeric(column, errors="coerce").notna()
        if numbers.sum() * 2 > len(column):
            return None
    return column.to_numpy(dtype=object)


def _label_indices(
    column: pd.Series, num_classes: int | None
) -> tuple[tuple[str, ...], np.ndarray] | None:
    """Class names and int64 indices, or None if a label is wrong."""
    codes, uniques = pd.factorize(column.str.strip())
    if (codes < 0).any():  # a short row, as pandas 2 reads it
        return None
    labels = [str(unique) for unique in uniques]
    counts = np.bincount(codes, minlength=len(labels))
    is_number = [parse_number(text) is not None for text in labels]
    numeric = counts[is_number].sum() * 2 > len(column)
    if any(label_fault(text, numeric, num_classes) for text in labels):
        return None
    if num_classes is not None:
        indices = [whole_number(text) for text in labels]
        class_names = tuple(str(i) for i in range(num_classes))
    else:
        values = [whole_number(text) if numeric else text for text in labels]
        distinct = sorted(set(values))
        place = {value: index for index, value in enumerate(distinct)}
        indices = [place[value] for value in values]
        class_names = tuple(str(value) for value in distinct)
    return class_names, np.array(indices, dtype=np.int64)[codes]


def _look_measured(class_names: tuple[str, ...], indices: np.ndarray) -> bool:
    values = [whole_number(name) for name in class_names]
    if None in values:
        return False
    return looks_measured(len(values), min(values), max(values), len(indices))


def _refusal(
    path: str,
    names: tuple[str, ...],
    roles: Mapping[str, str],
    num_classes: int | None = None,
    options: CsvOptions = USUAL,
) -> RefusedError:
    diagnose(path, names, roles, num_classes, options)
    return RefusedError(
        f"{path}: expected a table that pandas can read. Received: one that it cannot, "
        "for a reason that was not found. Write it again with DataFrame.to_csv."
    )
