"""What a CSV file to predict from needs in memory, told by its size and some lines."""

import csv
import dataclasses
import os
import zlib
from collections.abc import Iterator, Mapping

from kerascale.datasets import memory
from kerascale.datasets.sources.csv_files import is_gzip
from kerascale.datasets.sources.csv_options import USUAL, CsvOptions

# Bytes that are looked at, in so many places of a file that is not compressed.
_SAMPLE_BYTES = 2**20
_PLACES = 4
# What pandas takes for a cell beside its characters: two places in a table of cells,
# and the number. As measured: 17 to 20.
_BYTES_PER_CELL = 20
# A Python string beside its characters, and its place in an array; each is there as
# pandas has it and once more while it is looked at.
_BYTES_PER_STRING = 57
_COPIES_OF_STRINGS = 2.1
# Of a text, unless a recipe says otherwise.
_MOST_WORDS = 256


@dataclasses.dataclass(frozen=True)
class _Sample:
    """Rows of a file.

    Args:
        rows: With as many cells as the file has columns.
        row_bytes: Of one of them, on average.
        num_bytes: Of the whole file when it is not compressed.
    """

    rows: list[list[str]]
    row_bytes: float
    num_bytes: float

    @property
    def num_rows(self) -> float:
        """Those of the whole file."""
        return self.num_bytes / self.row_bytes

    def characters(self, column: int) -> float:
        """Of a cell of a column, on average."""
        return sum(len(row[column]) for row in self.rows) / len(self.rows)

    def is_distinct(self, column: int) -> bool:
        """Whether most cells of a column are in no other row: else one is kept."""
        return 2 * len({row[column] for row in self.rows}) > len(self.rows)


def refuse_too_much(
    path: str,
    names: tuple[str, ...],
    roles: Mapping[str, str],
    options: CsvOptions = USUAL,
) -> None:
    """Refuses a file that there is no memory for, before it is read.

    Args:
        path: The file.
        names: All its columns.
        roles: Column -> `number`, or `text` of one; the others are no features.
        options: How the file is written.

    Raises:
        RefusedError: Naming what is needed, for what, and what there is.
    """
    sample = _sample(path, len(names), options)
    if sample is None:  # What is wrong with it is told when it is read.
        return
    features = [i for i, n in enumerate(names) if roles[n] in ("number", "text")]
    text = next((i for i in features if roles[names[i]] == "text"), None)
    count = sample.num_rows
    to_read = sample.num_bytes + count * len(names) * _BYTES_PER_CELL
    for column in range(len(names)):
        if (column not in features or column == text) and sample.is_distinct(column):
            string = sample.characters(column) + _BYTES_PER_STRING
            to_read += count * string * _COPIES_OF_STRINGS
    if text is not None:
        kept = count * (sample.characters(text) + _BYTES_PER_STRING)
        # All are as long as the longest: ids of four bytes, in three copies.
        words = min(_MOST_WORDS, max(len(row[text].split()) for row in sample.rows))
        to_prepare = kept + count * 3 * 4 * words
    else:
        kept = count * len(features) * 4
        to_prepare = kept + memory.bytes_to_prepare(int(kept), is_split=False)
    memory.refuse_too_much(f"csv:{path}", int(to_read), int(to_prepare))


def _sample(path: str, num_columns: int, options: CsvOptions) -> _Sample | None:
    if is_gzip(path):
        start, num_bytes = _start_of_gzip(path)
        pieces = [start]
    else:
        num_bytes = os.path.getsize(path)
        pieces = list(_pieces(path, num_bytes))
    rows = [
        row
        for piece in pieces
        for row in _rows(piece, options)
        if len(row) == num_columns
    ]
    if not rows:
        return None
    # Cells in UTF-8, and a sign behind each of them.
    total = sum(len(cell.encode()) + 1 for row in rows for cell in row)
    return _Sample(rows, total / len(rows), num_bytes)


def _pieces(path: str, num_bytes: int) -> Iterator[bytes]:
    """Parts of a file, from the beginning of a line on."""
    with open(path, "rb") as file:
        if num_bytes <= _SAMPLE_BYTES:
            yield file.read()
            return
        for place in range(_PLACES):
            file.seek(place * num_bytes // _PLACES)
            if place:
                file.readline(_SAMPLE_BYTES)
            yield file.read(_SAMPLE_BYTES // _PLACES)


def _start_of_gzip(path: str) -> tuple[bytes, float]:
    """The beginning of the content, and how much there is in all by its ratio."""
    content, read = bytearray(), 0
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        unpack = zlib.decompressobj(31)
        while len(content) < _SAMPLE_BYTES:
            chunk = file.read(2**14)
            if not chunk:
                break
            read += len(chunk)
            try:
                content += unpack.decompress(chunk)
                while unpack.eof and unpack.unused_data:  # It has several parts.
                    rest = unpack.unused_data
                    unpack = zlib.decompressobj(31)
                    content += unpack.decompress(rest)
            except zlib.error:  # What is wrong with it is told when it is read.
                break
    return bytes(content), len(content) * size / max(1, read)


def _rows(piece: bytes, options: CsvOptions) -> Iterator[list[str]]:
    """The rows of a part of a file, but the last one, which may be cut."""
    lines = piece.decode("utf-8-sig", errors="replace").splitlines(keepends=True)
    reader = csv.reader(lines, delimiter=options.delimiter)
    row = None
    try:
        for following in reader:
            if row:
                yield row
            row = following
    except csv.Error:
        return
    if row and piece.endswith((b"\n", b"\r")):
        yield row
