"""Cuts a CSV file into blocks of whole rows, each of which can be read by itself."""

import functools
import gzip
import os
import re
from collections.abc import Iterator
from typing import NamedTuple

from kerascale.datasets.sources.csv_files import is_gzip

# Small: several are read beside each other, and take ten times their size.
BLOCK_BYTES = 2**19


class Block(NamedTuple):
    """Whole rows.

    Args:
        data: The bytes of them.
        start: Where they begin in the file, as it is when it is not compressed.
        end: Where they end.
        bytes_read: Bytes of the file that were read up to there.
    """

    data: bytes
    start: int
    end: int
    bytes_read: int


def blocks(path: str, delimiter: str, start: int = 0) -> Iterator[Block]:
    """The rows of a file from an end of a block on.

    Args:
        path: The file, as it is or compressed with gzip.
        delimiter: What stands between two cells.
        start: Where to begin, in bytes of the file when it is not compressed.

    Raises:
        EOFError, zlib.error, gzip.BadGzipFile: If it is damaged.
    """
    packed = is_gzip(path)
    with open(path, "rb") as raw:
        file = gzip.GzipFile(fileobj=raw) if packed else raw
        file.seek(start)
        rest = b""
        while data := file.read(BLOCK_BYTES):
            data = rest + data
            cut = _end_of_rows(data, delimiter)
            if cut:
                end = start + cut
                bytes_read = raw.tell() if packed else end
                yield Block(data[:cut], start, end, bytes_read)
                start = end
            rest = data[cut:]
        if rest:
            end = start + len(rest)
            yield Block(rest, start, end, os.fstat(raw.fileno()).st_size)


def widths(data: bytes, delimiter: str) -> Iterator[int]:
    """How many cells each row of a block has; empty lines are left out."""
    sign = delimiter.encode()
    start = 0
    while start < len(data):
        match = _row(sign).match(data, start)
        row = data[start:] if match is None else match[0]
        start += len(row)
        if row.strip(b"\r\n"):
            yield _width(row, sign)


def _width(row: bytes, sign: bytes) -> int:
    if b'"' not in row:
        return row.count(sign) + 1
    cells, match = 1, _cell(sign).match(row)
    while match and row[match.end() : match.end() + 1] == sign:
        cells, match = cells + 1, _cell(sign).match(row, match.end() + 1)
    return cells


def _end_of_rows(data: bytes, delimiter: str) -> int:
    """Where the last whole row ends."""
    if b'"' in data:
        end = 0
        for match in _row(delimiter.encode()).finditer(data):
            if match.start() != end:
                break
            end = match.end()
        return end
    end = data.rfind(b"\n") + 1
    # Where no line has it, \r ends them; the last one may be half of \r\n.
    return end or data.rfind(b"\r", 0, -1) + 1


def _text_of_cell(sign: bytes) -> bytes:
    other = b"[^" + re.escape(sign) + b"\\r\\n]*+"
    # Only at the beginning of a cell does a quote mean something.
    return b'(?:"[^"]*+(?:""[^"]*+)*+"' + other + b'|(?!")' + other + b")"


@functools.lru_cache(maxsize=8)
def _cell(sign: bytes) -> re.Pattern[bytes]:
    return re.compile(_text_of_cell(sign))


@functools.lru_cache(maxsize=8)
def _row(sign: bytes) -> re.Pattern[bytes]:
    cell = _text_of_cell(sign)
    more = b"(?:" + re.escape(sign) + cell + b")*+"
    return re.compile(cell + more + b"(?:\\r?\\n|\\r(?=[^\\n]))")
