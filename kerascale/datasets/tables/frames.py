"""Columns of CSV and Parquet files as texts, as they stand there."""

import functools
import io
import os
from collections.abc import Sequence

import numpy as np
import pandas as pd

from kerascale.datasets.sources import csv_blocks, csv_frame, csv_table, table_files
from kerascale.datasets.sources.checks import Problems
from kerascale.datasets.sources.csv_diagnosis import Lines, diagnose_all
from kerascale.datasets.sources.csv_files import DAMAGED
from kerascale.datasets.sources.csv_options import CsvOptions
from kerascale.datasets.sources.csv_rows import data_rows
from kerascale.errors import RefusedError


class TextTable:
    """A table in memory, all of whose cells are texts.

    Args:
        path: What the user called it.
        names: All its columns.
        frame: Those that were read, as `str`.
        unit: What a row is found by in messages: a `line` of a CSV file, from 1, or a
            `row` of another, from 0.
    """

    def __init__(
        self, path: str, names: tuple[str, ...], frame: pd.DataFrame, unit: str
    ) -> None:
        self.path = path
        self.names = names
        self.frame = frame
        self.unit = unit

    def cells(self, columns: Sequence[str]) -> np.ndarray:
        """Object array of `str`, of shape (rows, columns)."""
        return self.frame[list(columns)].to_numpy(dtype=object)

    def place(self, row: int) -> str:
        """Where a row stands, for a message."""
        return f"row {row}" if self.unit == "row" else f"row {row} of the data"


def names_of(prefix: str, path: str, options: CsvOptions) -> tuple[str, ...]:
    """The columns of a table.

    Args:
        prefix: `csv` or `parquet`.
        path: Its files.
        options: How a CSV file is written.
    """
    if prefix == "csv":
        files = table_files.find(path, csv_table.SUFFIXES, "a CSV file")
        return csv_table.headers(path, files, options)[0]
    from kerascale.datasets.sources import parquet_files

    return tuple(parquet_files.open_files(path).types)


def num_bytes(prefix: str, path: str) -> int:
    """Of all files of a table."""
    if prefix == "csv":
        files = table_files.find(path, csv_table.SUFFIXES, "a CSV file")
        return sum(os.path.getsize(file) for file in files)
    from kerascale.datasets.sources import parquet_files

    return parquet_files.open_files(path).num_bytes


def read(
    prefix: str,
    path: str,
    columns: Sequence[str],
    options: CsvOptions,
    *,
    is_peek: bool = False,
) -> TextTable:
    """Some columns of a table.

    Args:
        prefix: `csv` or `parquet`.
        path: Its files.
        columns: Those that are wanted; others may be there.
        options: How a CSV file is written.
        is_peek: Whether its first rows are enough.

    Raises:
        RefusedError: With each line that has more or fewer cells than there are
            columns; or each column of a type that is none of a table.
    """
    path = os.fspath(path)
    return (
        _read_csv(path, columns, options, is_peek)
        if prefix == "csv"
        else _read_parquet(path, columns, is_peek)
    )


def _read_csv(
    path: str, columns: Sequence[str], options: CsvOptions, is_peek: bool
) -> TextTable:
    files = table_files.find(path, csv_table.SUFFIXES, "a CSV file")
    names, _ = csv_table.headers(path, files, options)
    parts = []
    try:
        for file in files:
            for block in csv_blocks.blocks(file, options.delimiter):
                parts.append(_frame(block, names, options)[list(columns)])
                if is_peek:
                    break
    except (ValueError, *DAMAGED) as error:
        lines = [
            Lines(file, functools.partial(data_rows, file, options)) for file in files
        ]
        diagnose_all(path, lines, names, dict.fromkeys(names, "ignored"), None)
        raise RefusedError(
            f"{path}: expected a table that can be read. Received: one that cannot "
            f"({error}). Write it again with DataFrame.to_csv."
        ) from error
    frame = pd.concat(parts, ignore_index=True)
    return TextTable(path, names, frame, "line")


def _frame(
    block: csv_blocks.Block, names: tuple[str, ...], options: CsvOptions
) -> pd.DataFrame:
    """A block, all of it text.

    Raises:
        ValueError: If a row has another number of cells.
    """
    is_first = block.start == 0
    has_header = is_first and not options.no_header
    frame = csv_frame.frame_of(
        io.BytesIO(block.data),
        names,
        dict.fromkeys(names, object),
        options,
        has_header=has_header,
        encoding="utf-8-sig" if is_first else "utf-8",
    )
    frame = frame.fillna("").astype(str)
    widths = set(csv_blocks.widths(block.data, options.delimiter))
    # A row that is too short is padded, and a first one that is too long shifted.
    if widths - {len(names)}:
        raise ValueError("rows of different lengths")
    return frame


def _read_parquet(path: str, columns: Sequence[str], is_peek: bool) -> TextTable:
    import pyarrow as pa

    from kerascale.datasets.sources import parquet_files

    files = parquet_files.open_files(path)
    problems = Problems(f"{path} cannot be used")
    parts: dict[str, list[np.ndarray]] = {name: [] for name in columns}
    for name in columns:
        kind = files.types[name]
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if pa.types.is_nested(kind) or pa.types.is_binary(kind):
            problems.add(
                f"{path}, column {name!r}: expected numbers, True and False, dates or "
                f"text. Received: values of type {files.types[name]}. Leave the column "
                "out (--drop-columns)."
            )
    problems.raise_if_any()
    for batch, _, _, _ in files.batches(tuple(columns)):
        for name, column in zip(columns, batch.columns, strict=True):
            parts[name].append(parquet_files.cells_of(column))
        if is_peek:
            break
    frame = pd.DataFrame({name: np.concatenate(each) for name, each in parts.items()})
    return TextTable(path, tuple(files.types), frame, "row")


def stripped(cells: np.ndarray) -> np.ndarray:
    """Cells without blanks around them."""
    found = np.empty(cells.shape, dtype=object)
    for place in range(cells.shape[1]):
        found[:, place] = pd.Series(cells[:, place]).str.strip().to_numpy(object)
    return found
