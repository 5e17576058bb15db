"""Parquet files as a table that is read in parts."""

import dataclasses
import functools
import os
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from kerascale.datasets.sources import parquet_files, tables
from kerascale.datasets.sources.checks import Problems
from kerascale.datasets.sources.csv_diagnosis import Lines, diagnose_all
from kerascale.datasets.sources.csv_options import USUAL, CsvOptions
from kerascale.datasets.sources.label_checks import check_num_classes
from kerascale.datasets.sources.parquet_files import ParquetFiles, cells_of, what
from kerascale.datasets.sources.table_columns import chosen_columns, without_targets
from kerascale.datasets.sources.tables import Part, UnusableError
from kerascale.errors import RefusedError


def open_parquet(
    path: str | os.PathLike[str],
    label: str | None,
    num_classes: int | None = None,
    options: CsvOptions = USUAL,
    *,
    is_test: bool = False,
    targets: tuple[str, ...] = (),
) -> "ParquetTable":
    """Looks at the columns of Parquet files.

    Args:
        path: A file, a folder of files, or a pattern.
        label: Name of the label column.
        num_classes: If given, labels are 0 to `num_classes - 1`.
        options: Which columns are features.
        is_test: Nothing is trained on it.
        targets: Columns of what is to be told, in place of `label`.

    Raises:
        RefusedError: If a file is damaged, has other columns than the first, or there
            are not the columns that are asked for.
    """
    path = os.fspath(path)
    check_num_classes(num_classes)
    _refuse_options_of_csv(path, options)
    files = parquet_files.open_files(path)
    if targets:
        label = targets[0]
    columns = chosen_columns(path, tuple(files.types), label, options)
    columns = without_targets(path, columns, targets)
    refuse_other_types(files, (*columns, *(targets or (label,))))
    return ParquetTable(
        source=files,
        label=label,
        feature_names=columns,
        kind=kind_of(files, columns),
        num_classes=num_classes,
        is_test=is_test,
        targets=targets,
    )


def kind_of(files: ParquetFiles, columns: tuple[str, ...]) -> Literal["vector", "text"]:
    """What the columns of features hold: one column of text, or numbers."""
    is_text = len(columns) == 1 and what(files.types[columns[0]]) == "text"
    return "text" if is_text else "vector"


def refuse_other_types(files: ParquetFiles, columns: tuple[str, ...]) -> None:
    """Refuses columns that hold neither numbers, True and False, nor text.

    Raises:
        RefusedError: With all of them.
    """
    problems = Problems(f"{files.path} cannot be used")
    for name in columns:
        if what(files.types[name]) not in ("number", "boolean", "text"):
            problems.add(
                f"{files.path}, column {name!r}: expected numbers, True and False, or "
                f"text. Received: values of type {files.types[name]}. Convert them, or "
                "leave the column out (--drop-columns)."
            )
    problems.raise_if_any()


@dataclasses.dataclass(frozen=True, kw_only=True)
class ParquetTable:
    """Parquet files as a `kerascale.datasets.sources.tables.Table`.

    Args:
        source: The files.
        label: The label column.
        feature_names: The columns of features.
        kind: What they hold.
        num_classes: Labels are whole numbers below it.
        is_test: Nothing is trained on it.
        targets: Columns of what is to be told, in place of a label.
    """

    source: ParquetFiles
    label: str
    feature_names: tuple[str, ...]
    kind: Literal["vector", "text"]
    num_classes: int | None
    is_test: bool
    targets: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        return self.source.path

    @property
    def name(self) -> str:
        return f"parquet:{self.path}"

    @property
    def files(self) -> tuple[str, ...]:
        return self.source.files

    @property
    def num_rows(self) -> int:
        return self.source.num_rows

    @property
    def num_bytes(self) -> int:
        return self.source.num_bytes

    def parts(self, state: Mapping[str, Any]) -> Iterator[Part]:
        labels = self.targets or (self.label,)
        count = len(self.feature_names)
        done = state.get("rows", 0)
        place = {name: state.get(name, 0) for name in ("file", "group", "row")}
        for batch, file, group, row in self.source.batches(
            (*self.feature_names, *labels), **place
        ):
            done += batch.num_rows
            found, own = batch.columns[:count], batch.columns[count:]
            if self.kind == "text":
                features = texts(found[0])
            else:
                features = numbers(found)
            behind = {"file": file, "group": group, "row": row, "rows": done}
            bytes_read = self.num_bytes * done // self.num_rows
            if self.targets:
                cells = np.stack([cells_of(each) for each in own], axis=1)
                none = np.empty(0, np.int64)
                yield Part(features, none, [], behind, bytes_read, 0, cells)
                continue
            codes, names = _factorized(own[0])
            yield Part(features, codes, names, behind, bytes_read)

    def refusal(self) -> RefusedError:
        names = (*self.feature_names, self.label)
        role = "text" if self.kind == "text" else "feature"
        roles = dict.fromkeys(self.feature_names, role)
        if not self.targets:
            roles[self.label] = "test label" if self.is_test else "label"
        else:
            names = self.feature_names
        lines = [
            Lines(file, functools.partial(cells, self.source, number, names), "row")
            for number, file in enumerate(self.files)
        ]
        diagnose_all(self.path, lines, names, roles, self.num_classes)
        return tables.unknown_refusal(self, "Write it again with DataFrame.to_parquet.")


def numbers(columns: list[pa.Array]) -> np.ndarray:
    """float32 of shape (rows, columns).

    Raises:
        UnusableError: If a cell is no finite number.
    """
    features = np.empty((len(columns[0]), len(columns)), dtype=np.float32)
    for index, column in enumerate(columns):
        if column.null_count:
            raise UnusableError
        column = _decoded(column)
        if what(column.type) == "text":
            values = pd.to_numeric(column.to_pandas().astype(str), errors="coerce")
        elif pa.types.is_decimal(column.type):
            values = column.cast(pa.float64()).to_numpy()
        else:
            values = column.to_numpy(zero_copy_only=False)
        with np.errstate(over="ignore"):
            features[:, index] = values
    if not np.isfinite(features).all():
        raise UnusableError
    return features


def texts(column: pa.Array) -> np.ndarray:
    """Object array of `str`, of shape (rows,).

    Raises:
        UnusableError: If a cell is empty.
    """
    column = _decoded(column).cast(pa.large_string())
    if (
        column.null_count
        or pc.any(pc.equal(pc.utf8_trim_whitespace(column), "")).as_py()
    ):
        raise UnusableError
    return column.to_numpy(zero_copy_only=False)


def cells(
    files: ParquetFiles, number: int, columns: tuple[str, ...]
) -> Iterator[tuple[int, list[str]]]:
    """The rows of one file as a CSV file would have them, counted from 0."""
    count = 0
    for batch, file, _, _ in files.batches(columns, file=number):
        if file != number:
            return
        values = [_decoded(column).to_pylist() for column in batch.columns]
        for row in zip(*values, strict=True):
            yield count, ["" if cell is None else str(cell) for cell in row]
            count += 1


def _factorized(column: pa.Array) -> tuple[np.ndarray, list[str]]:
    """int64 codes, and the labels that they stand for."""
    if column.null_count:
        raise UnusableError
    encoded = _decoded(column).dictionary_encode()
    codes = encoded.indices.to_numpy().astype(np.int64)
    return codes, [str(value) for value in encoded.dictionary.to_pylist()]


def _decoded(column: pa.Array) -> pa.Array:
    """The values themselves: a dictionary may have some that do not occur."""
    is_encoded = pa.types.is_dictionary(column.type)
    return column.dictionary_decode() if is_encoded else column


def _refuse_options_of_csv(path: str, options: CsvOptions) -> None:
    problems = [
        f"{name}: expected only with csv: data. Received: {value!r} with "
        f"parquet:{path}. Leave it out"
        for name in ("separator", "no_header")
        if (value := getattr(options, name)) != getattr(USUAL, name)
    ]
    if problems:
        raise RefusedError(problems, heading=f"parquet:{path}")
