"""Reads a CSV file line by line: slow, and exact about where a fault is."""

import csv
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import islice

from kerascale.datasets.sources.checks import check_file, listing
from kerascale.datasets.sources.csv_files import (
    DAMAGED,
    open_bytes,
    open_text,
    refuse_damaged,
    refuse_other_formats,
)
from kerascale.datasets.sources.csv_options import USUAL, CsvOptions
from kerascale.errors import RefusedError

_LINE_BREAK = re.compile(r"\r\n|\r|\n")


def read_rows(
    path: str, options: CsvOptions = USUAL
) -> Iterator[tuple[int, list[str]]]:
    """Yields the line on which each row starts, from 1, and the row's cells.

    Empty lines are skipped, except where the header has one cell: there they are
    rows with an empty cell.

    Raises:
        RefusedError: If a quote is never closed, the file is not UTF-8, or is damaged.
    """
    limit = csv.field_size_limit(sys.maxsize)
    line = 1
    try:
        with open_text(path) as file:
            reader = csv.reader(file, strict=True, delimiter=options.delimiter)
            width = 0
            for cells in reader:
                width = width or len(cells)
                if cells:
                    yield line, cells
                elif width == 1:
                    yield line, [""]
                line = reader.line_num + 1
    except csv.Error as error:
        raise RefusedError(
            f"{path}, line {line}: expected cells that are quoted as CSV is, with "
            f'quotes inside a quoted cell doubled (""). Received: {error}. Close or '
            "double the quote in the row that starts there."
        ) from error
    except UnicodeDecodeError as error:
        raise RefusedError(_undecodable(path)) from error
    except DAMAGED as error:
        raise refuse_damaged(path, error) from error
    finally:
        csv.field_size_limit(limit)


def data_rows(
    path: str, options: CsvOptions = USUAL
) -> Iterator[tuple[int, list[str]]]:
    """What `read_rows` yields, without the header."""
    return islice(read_rows(path, options), 0 if options.no_header else 1, None)


def line_of_cell(line: int, cells: list[str], column: int) -> int:
    """The line on which a cell starts, in a row that starts on `line`."""
    return line + sum(len(_LINE_BREAK.findall(cell)) for cell in cells[:column])


def read_header(path: str, options: CsvOptions = USUAL) -> tuple[tuple[str, ...], bool]:
    """Reads the column names, or makes them where there is no header.

    Args:
        path: The file.
        options: Whether the first line is a header.

    Returns:
        The names, and whether the first row has as many cells as there are names:
        pandas would take a first row that is too long as one with an index.

    Raises:
        RefusedError: If the file is missing, empty, has a header only, or its column
            names are not usable.
    """
    check_file(path, "a CSV file")
    refuse_other_formats(path)
    rows = read_rows(path, options)
    try:
        header, first = next(rows, None), next(rows, None)
    finally:
        rows.close()
    if header is None:
        size = os.path.getsize(path)
        raise RefusedError(
            f"{path}: expected a header line and rows. Received: an empty file "
            f"({size} bytes)."
        )
    if header[0] > 1:
        raise RefusedError(
            f"{path}, line 1: expected the column names. Received: an empty line. "
            "Remove it."
        )
    _refuse_other_separator(path, header[1], options)
    if options.no_header:
        _refuse_names(path, header[1], first)
        return options.column_names(len(header[1])), True
    names = tuple(name.strip() for name in header[1])
    if options.no_header is None:
        _refuse_numbers(path, names)
    if first is None:
        raise RefusedError(
            f"{path}: expected rows below the header. Received: a header only, with "
            f"the columns {listing(names)}."
        )
    _check_names(path, names)
    return names, len(first[1]) == len(names)


def _refuse_other_separator(path: str, cells: list[str], options: CsvOptions) -> None:
    """A single column that holds one of the usual separators."""
    found = [sign for sign in ";\t|," if len(cells) == 1 and sign in cells[0]]
    if found:
        sign = max(found, key=cells[0].count)
        usual = "commas" if options.delimiter == "," else repr(options.delimiter)
        flag = "tab" if sign == "\t" else f"'{sign}'"
        raise RefusedError(
            f"{path}, line 1: expected column names separated by {usual}. "
            f"Received: {cells[0]!r}. Pass --separator {flag}."
        )


def _refuse_numbers(path: str, names: tuple[str, ...]) -> None:
    """A header of numbers is asked about: most often it is a row that would be lost."""
    if all(parse_number(name) is not None for name in names):
        raise RefusedError(
            f"{path}, line 1: expected the column names. Received: numbers only, "
            f"{listing(names)}. If it is a row of data, pass --no-header; the columns "
            "are then called column_0, column_1 and so on. If these are the names, "
            "pass --no-header False."
        )


def _refuse_names(
    path: str, cells: list[str], following: tuple[int, list[str]] | None
) -> None:
    """The converse: a header where none was told of."""
    if following is None or any(parse_number(cell) is not None for cell in cells):
        return
    num_numbers = sum(parse_number(cell) is not None for cell in following[1])
    if num_numbers * 2 > len(following[1]):
        raise RefusedError(
            f"{path}, line 1: expected a row of data, as --no-header was passed. "
            f"Received: {listing(cells)}, where line {following[0]} has numbers. Leave "
            "--no-header out."
        )


def _check_names(path: str, names: tuple[str, ...]) -> None:
    problems = []
    empty = [str(i + 1) for i, name in enumerate(names) if not name]
    if empty:
        problems.append(
            f"{path}, line 1: expected a name for each column. Received: none for "
            f"column {', '.join(empty)} of {len(names)}. If it is pandas' index, write "
            "the file with index=False."
        )
    twice = [name for name, count in Counter(names).items() if count > 1 and name]
    if twice:
        problems.append(
            f"{path}, line 1: expected distinct column names. Received: "
            f"{listing(twice)} more than once.{header_hint(names)} Rename or remove "
            "the columns."
        )
    if problems:
        raise RefusedError(problems, heading=f"{path} cannot be read")


def header_hint(names: tuple[str, ...]) -> str:
    """What to say where the header looks like a row of data."""
    if sum(parse_number(name) is not None for name in names) * 2 <= len(names):
        return ""
    return (
        " The first line looks like data: put a line with column names above it, or "
        "pass --no-header."
    )


def parse_number(cell: str) -> float | None:
    """The number in a cell as pandas reads it, or None; `nan` and `inf` are numbers."""
    try:
        number = float(cell)
    except ValueError:
        return None
    # Python alone reads 1_000 and digits of other scripts.
    return number if cell.isascii() and "_" not in cell else None


def _undecodable(path: str) -> str:
    with open_bytes(path) as file:
        content = file.read()
    try:
        content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # `start` counts from after a byte order mark where there is one.
        start = error.start + len(content) - len(error.object)
    else:
        return f"{path}: expected UTF-8. Received: a file that changed meanwhile."
    line = len(re.findall(rb"\r\n|\r|\n", content[:start])) + 1
    encoding = "latin-1"
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
    return (
        f"{path}, line {line}: expected UTF-8 text. Received: byte "
        f"0x{content[start]:02x} at offset {start}, counted from 0. Convert the "
        f"file, perhaps with iconv -f {encoding} -t utf-8."
    )
