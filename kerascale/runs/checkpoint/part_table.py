"""The table of a part: which blocks of which arrays a process has written.

{"pieces": [{"name": "optimizer/00003", "dtype": "<f4", "shape": [64, 16],
             "start": [32, 0], "stop": [64, 16]}, ...]}

in the order of the npz file that it belongs to, `part-00001.json` to `part-00001.npz`.
"""

import dataclasses
import json
import zipfile
from collections.abc import Iterable, Mapping
from typing import IO, Any

from kerascale.runs.checkpoint import arrays as npz
from kerascale.runtime.array_parts import ArrayParts
from kerascale.runtime.durable_files import PIECE, DamagedError, parse_json

_FIELDS = ("name", "dtype", "shape", "start", "stop")


@dataclasses.dataclass(frozen=True)
class Entry:
    """A block of an array, in a file.

    Args:
        name: The array's.
        dtype: As `arrays.describe` writes it.
        shape: Of the whole array.
        start: Of each axis, the first index.
        stop: Of each axis, the index behind the last one.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: tuple[int, ...]
    stop: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name} from {self.start} to {self.stop}"

    @property
    def sizes(self) -> tuple[int, ...]:
        """The shape of the block."""
        return tuple(b - a for a, b in zip(self.start, self.stop, strict=True))

    def member(self) -> dict[str, Any]:
        """What `arrays` has in its own table for such an array."""
        return {"name": str(self), "dtype": self.dtype, "shape": list(self.sizes)}


def describe(arrays: Mapping[str, ArrayParts]) -> list[Entry]:
    """The table of what a process has.

    Raises:
        RefusedError: If a type cannot be written.
    """
    found = []
    for name, parts in arrays.items():
        for piece in parts.pieces:
            (row,) = npz.describe({name: piece.array})
            found.append(
                Entry(name, row["dtype"], parts.shape, piece.start, piece.stop)
            )
    return found


def encode(entries: Iterable[Entry]) -> bytes:
    """The bytes of the file."""
    rows = [dataclasses.asdict(entry) for entry in entries]
    return json.dumps({"pieces": rows}).encode()


def decode(data: bytes, file: str) -> list[Entry]:
    """The table.

    Args:
        data: The bytes of the file.
        file: Its name.

    Raises:
        DamagedError: If it is none.
    """
    rows = parse_json(data, file).get("pieces")
    if not isinstance(rows, list):
        raise DamagedError(f"{file} has no pieces")
    return [_entry(row, file) for row in rows]


def _entry(row: Any, file: str) -> Entry:
    if not isinstance(row, dict) or set(row) != set(_FIELDS):
        raise DamagedError(f"{file}: expected a piece. Received: {row!r:.200}")
    places = [row[name] for name in ("shape", "start", "stop")]
    are_numbers = all(
        isinstance(place, list) and all(type(n) is int and n >= 0 for n in place)
        for place in places
    )
    if (
        not isinstance(row["name"], str)
        or not isinstance(row["dtype"], str)
        or not are_numbers
        or len({len(place) for place in places}) != 1
        or any(a > b or b > n for n, a, b in zip(*places, strict=True))
    ):
        raise DamagedError(f"{file}: expected a piece. Received: {row!r:.200}")
    return Entry(row["name"], row["dtype"], *(tuple(place) for place in places))


def gaps(tables: Iterable[Iterable[Entry]]) -> list[str]:
    """Which arrays the pieces of all processes do not make up; empty: none.

    Pieces are the cells of a grid, as devices of a mesh have them.
    """
    by_name: dict[str, list[Entry]] = {}
    for table in tables:
        for entry in table:
            by_name.setdefault(entry.name, []).append(entry)
    return [name for name, entries in by_name.items() if not _is_grid(entries)]


def _is_grid(entries: list[Entry]) -> bool:
    first = entries[0]
    if any((e.dtype, e.shape) != (first.dtype, first.shape) for e in entries):
        return False
    cells = 1
    for axis, size in enumerate(first.shape):
        begins = sorted({e.start[axis] for e in entries})
        ends = dict(zip(begins, [*begins[1:], size], strict=True))
        if begins[0] != 0 or any(e.stop[axis] != ends[e.start[axis]] for e in entries):
            return False
        cells *= len(begins)
    return len({e.start for e in entries}) == len(entries) == cells


def of_damaged(entries: list[Entry], file: IO[bytes] | None) -> str:
    """What is lost with a part whose bytes are not those that were written.

    Args:
        entries: Its table.
        file: The npz file; None: it is missing.
    """
    lost = entries if file is None else _unreadable(entries, file)
    if not lost:
        return ""
    rest = f", and {len(lost) - 1} more pieces" if len(lost) > 1 else ""
    return f": {lost[0]}{rest}"


def _unreadable(entries: list[Entry], file: IO[bytes]) -> list[Entry]:
    """The pieces whose own checksum in the zip differs."""
    try:
        archive = zipfile.ZipFile(file)
        members = archive.infolist()
        if len(members) != len(entries):
            return entries
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return entries
    lost = []
    for entry, member in zip(entries, members, strict=True):
        try:
            with archive.open(member) as source:
                while source.read(PIECE):
                    pass
        # Each byte of a zip fails in a way of its own.
        except Exception:
            lost.append(entry)
    return lost
