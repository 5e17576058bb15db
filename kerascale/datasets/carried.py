"""A column of the data that comes with the examples, whether it is a feature or not."""

import contextlib
import contextvars
import dataclasses
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from kerascale.datasets import split_columns
from kerascale.datasets.raw import RawData, Split
from kerascale.errors import RefusedError

_column = contextvars.ContextVar[str | None]("carried_column", default=None)
_TABLE = "labels.csv"


@contextlib.contextmanager
def column(name: str | None) -> Iterator[None]:
    """Within it, data that is read has a column's values as `Datasets.origins`.

    Args:
        name: The column; None: nothing is carried.
    """
    token = _column.set(name)
    try:
        yield
    finally:
        _column.reset(token)


def name() -> str | None:
    """The column that is carried."""
    return _column.get()


def attached(raw: RawData, config: Any) -> RawData:
    """Data whose splits have the column's values in the place of files.

    Args:
        raw: As it was read, not divided yet.
        config: The recipe's configuration.

    Raises:
        RefusedError: If there is no such column.
    """
    wanted = _column.get()
    if wanted is None:
        return raw
    dataset, test_data = config.dataset, getattr(config, "test_data", None)
    train = _with(raw.train, values_of(dataset, wanted, config))
    test = raw.test
    if test is not None:
        if test_data is None:
            raise RefusedError(
                f"--group: expected one table, or --test-data of another. Received: "
                f"{dataset}, which has test examples of its own."
            )
        prefix = f"{dataset.partition(':')[0]}:"
        other = prefix + test_data.removeprefix(prefix)
        test = _with(test, values_of(other, wanted, config))
    return dataclasses.replace(raw, train=train, test=test)


def values_of(dataset: str, wanted: str, config: Any) -> np.ndarray:
    """A column of a data set, a text for each row.

    Args:
        dataset: `csv:PATH`, `parquet:PATH`, `npz:PATH`, or `images:FOLDER` with a
            table of labels.
        wanted: The column.
        config: How a CSV file is written.

    Raises:
        RefusedError: If there is no such column.
    """
    prefix, _, path = dataset.partition(":")
    path = os.path.expanduser(path)
    if prefix == "images" and os.path.isfile(os.path.join(path, _TABLE)):
        prefix, path = "csv", os.path.join(path, _TABLE)
    names, values = split_columns.column_of(prefix, path, wanted, config)
    if values is None:
        there = f" There are {', '.join(names)}." if names else ""
        raise RefusedError(
            f"--group: expected a column of csv:, parquet: or npz: data, or of "
            f"images: with labels.csv. Received: {wanted!r}, which {dataset} has "
            f"not.{there}"
        )
    texts = np.empty(len(values), object)
    texts[:] = ["" if _is_gap(value) else str(value) for value in values]
    return texts


def _is_gap(value: Any) -> bool:
    return value is None or value != value


def _with(split: Split, values: np.ndarray) -> Split:
    if len(values) != len(split):
        raise RefusedError(
            f"--group: expected a value for each of {len(split):,} examples. Received: "
            f"{len(values):,}."
        )
    return dataclasses.replace(split, files=values)
