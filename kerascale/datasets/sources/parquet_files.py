"""Opens Parquet files, and reads them a few rows at a time; names damaged ones."""

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kerascale.datasets.sources import table_files
from kerascale.datasets.sources.checks import Problems, listing
from kerascale.errors import RefusedError

SUFFIXES = (".parquet", ".pq")
_MAGIC = b"PAR1"
# What a part takes as it is written; and the most rows of it.
_PART_BYTES = 2 * 2**20
_MOST_ROWS = 2**16


@dataclasses.dataclass(frozen=True)
class ParquetFiles:
    """Files with the same columns.

    Args:
        path: What the user called them.
        files: The files, in order.
        types: Column -> its type.
        num_rows: Of all files, as they say.
    """

    path: str
    files: tuple[str, ...]
    types: dict[str, pa.DataType]
    num_rows: int

    @property
    def num_bytes(self) -> int:
        return sum(os.path.getsize(file) for file in self.files)

    def batches(
        self, columns: Sequence[str], file: int = 0, group: int = 0, row: int = 0
    ) -> Iterator[tuple[pa.RecordBatch, int, int, int]]:
        """Rows of some columns, from a place on.

        Args:
            columns: Their names.
            file: Number of the file.
            group: Number of the row group in it.
            row: Number of the row in the group.

        Yields:
            Rows, and the place behind them.

        Raises:
            RefusedError: If a file is damaged, or has other rows than it says.
        """
        for number in range(file, len(self.files)):
            path = self.files[number]
            with _named(path), _open(path) as opened:
                for g in range(group, opened.num_row_groups):
                    for batch, behind in _of_group(opened, g, columns, row):
                        yield batch, number, g, behind
                    row = 0
            group = 0
        # Arrow keeps what it used for later.
        pa.default_memory_pool().release_unused()


def open_files(path: str) -> ParquetFiles:
    """Looks at the ends of Parquet files, which say what is in them.

    Args:
        path: A file, a folder of files, or a pattern.

    Raises:
        RefusedError: With every file that is damaged, or has other columns.
    """
    files = table_files.find(path, SUFFIXES, "a Parquet file")
    problems = Problems(f"{path} cannot be used")
    types: dict[str, pa.DataType] = {}
    num_rows = 0
    for file in files:
        try:
            with _named(file), _open(file) as opened:
                schema, own = opened.schema_arrow, opened.metadata.num_rows
        except RefusedError as error:
            problems.add(str(error))
            continue
        num_rows += own
        if len(set(schema.names)) < len(schema.names):
            problems.add(
                f"{file}: expected distinct column names. Received: "
                f"{listing(schema.names)}. Rename or remove columns."
            )
        found = dict(zip(schema.names, schema.types, strict=True))
        if not types:
            types, first = found, file
            continue
        problem = _difference(found, types, first)
        if problem:
            problems.add(f"{file}: {problem} Give all files the same columns.")
    problems.raise_if_any()
    if not num_rows:
        raise RefusedError(
            f"{path}: expected rows. Received: none, with the columns {listing(types)}."
        )
    return ParquetFiles(path, tuple(files), types, num_rows)


def what(type_: pa.DataType) -> str:
    """`number`, `boolean` or `text`; or the name of a type that is none of these."""
    is_ = pa.types
    if is_.is_dictionary(type_):
        return what(type_.value_type)
    if is_.is_boolean(type_):
        return "boolean"
    if is_.is_integer(type_) or is_.is_floating(type_) or is_.is_decimal(type_):
        return "number"
    if is_.is_string(type_) or is_.is_large_string(type_) or is_.is_string_view(type_):
        return "text"
    if is_.is_null(type_):
        return "number"  # Without any: each cell is told as missing.
    return str(type_)


def cells_of(column: pa.Array) -> np.ndarray:
    """Cells as a CSV file would have them; null is an empty text."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_floating(column.type):
        # As Python writes them, to the last digit; NaN is a gap.
        values = column.to_pylist()
        cells = ["" if v is None or v != v else repr(v) for v in values]
    else:
        values = column.cast(pa.large_string()).to_pylist()
        cells = ["" if value is None else value for value in values]
    found = np.empty(len(cells), dtype=object)
    found[:] = cells
    return found


def _difference(
    found: dict[str, pa.DataType], expected: dict[str, pa.DataType], first: str
) -> str:
    if set(found) != set(expected):
        return (
            f"expected the columns of {first}: {listing(expected)}. Received: "
            f"{listing(found)}."
        )
    others = [n for n, t in expected.items() if what(found[n]) != what(t)]
    if not others:
        return ""
    name = others[0]
    return (
        f"expected column {name!r} of type {expected[name]}, as in {first}. Received: "
        f"{found[name]}."
    )


def _open(path: str) -> pq.ParquetFile:
    # Column by column in small pieces: not all of a row group at once.
    return pq.ParquetFile(
        path, pre_buffer=False, buffer_size=2**18, page_checksum_verification=True
    )


def _of_group(
    opened: pq.ParquetFile, number: int, columns: Sequence[str], first: int
) -> Iterator[tuple[pa.RecordBatch, int]]:
    group = opened.metadata.row_group(number)
    row_bytes = group.total_byte_size / max(1, group.num_rows)
    size = int(min(_MOST_ROWS, max(1, _PART_BYTES / max(1, row_bytes))))
    seen = 0
    for batch in opened.iter_batches(size, row_groups=[number], columns=list(columns)):
        begin, seen = seen, seen + batch.num_rows
        if seen > first:
            own = batch.slice(max(0, first - begin))
            yield own.select(list(columns)), seen
    if seen != group.num_rows:
        raise OSError(f"{seen:,} of the {group.num_rows:,} rows of row group {number}")


@contextlib.contextmanager
def _named(path: str) -> Iterator[None]:
    """Names the file that is damaged."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        with open(path, "rb") as file:
            start = file.read(len(_MAGIC))
        if start != _MAGIC:
            raise RefusedError(
                f"Expected a Parquet file. Received: {path!r}, which begins with "
                f"{start!r}. Pass a CSV file as csv:PATH."
            ) from error
        reason = " ".join(str(error).split()).rstrip(".")
        raise RefusedError(
            f"{path}: expected a whole Parquet file. Received: one that is damaged or "
            f"truncated ({reason:.200}). Copy or write it again."
        ) from error
