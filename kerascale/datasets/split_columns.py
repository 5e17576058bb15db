"""A column by which rows are divided: their group, or their time. It is no feature."""

import dataclasses
import os
from typing import Any

import numpy as np

from kerascale.config.fields import nearest, to_dict
from kerascale.datasets.sources.checks import listing
from kerascale.datasets.sources.csv_options import CsvOptions
from kerascale.datasets.tables import told
from kerascale.errors import RefusedError

_SOURCES = ("csv", "parquet", "npz")


@dataclasses.dataclass(frozen=True)
class SplitColumn:
    """What rows are divided by, beside their labels.

    Args:
        groups: Rows with the same number stay together: int64 of shape (rows,); None:
            each row is on its own.
        times: Rows with a smaller number are earlier: int64 of shape (rows,); None:
            their order does not matter.
        problems: Why a column cannot be had.
        is_there: Whether there is such a column at all.
    """

    groups: np.ndarray | None = None
    times: np.ndarray | None = None
    problems: tuple[str, ...] = ()
    is_there: bool = True

    def take(self, indices: np.ndarray) -> "SplitColumn":
        """Of some rows."""
        groups = None if self.groups is None else self.groups[indices]
        times = None if self.times is None else self.times[indices]
        return SplitColumn(groups, times)


NONE = SplitColumn()


def name_of(config: Any) -> str | None:
    """The column that a configuration divides by; or None."""
    return getattr(config, "group", None) or getattr(config, "time", None)


def flag_of(config: Any) -> str:
    """The field that names the column."""
    return "group" if getattr(config, "group", None) else "time"


def without(config: Any, column: "SplitColumn") -> Any:
    """The configuration by which a table is read: what divides it is no feature.

    Args:
        config: The recipe's configuration.
        column: What was read of the column.
    """
    name = name_of(config)
    # What is named by `columns` alone is read, and refused there if it is not. One that
    # is not there is told with what else is wrong.
    if name is None or not column.is_there or not hasattr(config, "drop_columns"):
        return config
    is_named = config.columns and told.file_of(config.columns) is None
    if is_named or not config.dataset.startswith(("csv:", "parquet:")):
        return config
    dropped = tuple(dict.fromkeys([*config.drop_columns, name]))
    return dataclasses.replace(config, drop_columns=dropped)


def read(config: Any) -> SplitColumn:
    """The column that a configuration divides its training rows by.

    Raises:
        RefusedError: If the data set cannot be read at all.
    """
    name = name_of(config)
    if name is None:
        return NONE
    flag = flag_of(config)
    prefix, _, path = config.dataset.partition(":")
    if prefix not in _SOURCES:
        return _problem(
            f"{flag}: expected csv:, parquet: or npz: data, of which a column is read. "
            f"Received: {config.dataset}. Leave it out",
            is_there=False,
        )
    path = os.path.expanduser(path)
    names, values = column_of(prefix, path, name, config)
    if values is None:
        return _problem(
            f"{flag}: expected a column of {path}: {listing(names)}. Received: "
            f"{name!r}.{nearest(name, names)}",
            is_there=False,
        )
    missing = int(np.sum([_is_missing(value) for value in values]))
    if missing:
        return _problem(
            f"{flag}: expected a value in each row of column {name!r}. Received: "
            f"{missing:,} empty ones. Fill them, or remove the rows"
        )
    if flag == "group":
        _, codes = np.unique(np.array([str(v) for v in values]), return_inverse=True)
        return SplitColumn(groups=codes.astype(np.int64))
    ranks = _ranks(values)
    if ranks is None:
        return _problem(
            f"time: expected numbers or dates such as 2024-05-31 in column {name!r}. "
            "Received: something else. Convert it, or leave it out"
        )
    return SplitColumn(times=ranks)


def column_of(
    prefix: str, path: str, name: str, config: Any
) -> tuple[tuple[str, ...], np.ndarray | None]:
    """All columns of a source, and the values of one of them.

    Args:
        prefix: `csv`, `parquet` or `npz`; another one has no columns.
        path: Its files.
        name: The column.
        config: How a CSV file is written.

    Returns:
        Names; and an array of objects, or None where there is no such column.
    """
    readers = {"csv": _of_csv, "parquet": _of_parquet, "npz": _of_npz}
    return readers[prefix](path, name, config) if prefix in readers else ((), None)


def _problem(text: str, *, is_there: bool = True) -> SplitColumn:
    return SplitColumn(problems=(text,), is_there=is_there)


def _is_missing(value: Any) -> bool:
    return value is None or value != value or value == ""


def _ranks(values: np.ndarray) -> np.ndarray | None:
    """The place of each time among all that there are."""
    import pandas as pd

    numbers = pd.to_numeric(pd.Series(values), errors="coerce")
    if numbers.isna().any():
        numbers = pd.to_datetime(
            pd.Series(values), errors="coerce", utc=True, format="ISO8601"
        )
    if numbers.isna().any():
        return None
    _, ranks = np.unique(numbers.to_numpy(), return_inverse=True)
    return ranks.astype(np.int64)


def _of_csv(
    path: str, name: str, config: Any
) -> tuple[tuple[str, ...], np.ndarray | None]:
    import pandas as pd

    from kerascale.datasets.sources import table_files
    from kerascale.datasets.sources.csv_rows import read_header
    from kerascale.datasets.sources.csv_table import SUFFIXES

    options = CsvOptions.of(to_dict(config))
    files = table_files.find(path, SUFFIXES, "a CSV file")
    names, _ = read_header(files[0], options)
    if name not in names:
        return names, None
    parts = [
        pd.read_csv(
            file,
            sep=options.delimiter,
            header=None if options.no_header else 0,
            names=list(names),
            usecols=[name],
            dtype=str,
            keep_default_na=False,
            encoding="utf-8-sig",
            compression="infer",
        )[name].to_numpy(object)
        for file in files
    ]
    return names, np.concatenate(parts)


def _of_parquet(
    path: str, name: str, config: Any
) -> tuple[tuple[str, ...], np.ndarray | None]:
    del config
    from kerascale.datasets.sources import parquet_files

    files = parquet_files.open_files(path)
    if name not in files.types:
        return tuple(files.types), None
    values = [
        value
        for batch, _, _, _ in files.batches((name,))
        for value in batch.columns[0].to_pylist()
    ]
    return tuple(files.types), np.array(values, object)


def _of_npz(
    path: str, name: str, config: Any
) -> tuple[tuple[str, ...], np.ndarray | None]:
    del config
    from kerascale.datasets.sources import npz_source
    from kerascale.datasets.sources.checks import Problems

    with npz_source.open_archive(path) as archive:
        if name not in archive.files:
            return tuple(archive.files), None
        problems = Problems(f"{path} cannot be read")
        values = npz_source.read_array(path, archive, name, problems)
        problems.raise_if_any()
    if values.ndim != 1:
        raise RefusedError(
            f"{path}: expected one value a row in {name!r}. Received: an array of "
            f"shape {values.shape}."
        )
    return tuple(archive.files), values.astype(object)
