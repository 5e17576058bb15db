"""Arrays of a checkpoint that stay on the disk: what is asked for is read of them."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import IO, Any

import numpy as np

from kerascale.runs.checkpoint import arrays as npz
from kerascale.runs.checkpoint import part_table
from kerascale.runs.checkpoint.manifest import number_of_parts, part_names
from kerascale.runs.checkpoint.part_table import Entry
from kerascale.runs.layout import ARRAYS
from kerascale.runtime import durable_files
from kerascale.runtime.durable_files import DamagedError


@dataclasses.dataclass(frozen=True)
class _Block:
    """Where a block of an array lies.

    Args:
        path: The file.
        offset: Of its first byte.
        start: Of each axis of the array, the block's first index.
        stop: The index behind its last one.
    """

    path: pathlib.Path
    offset: int
    start: tuple[int, ...]
    stop: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class MappedArray:
    """An array on the disk. An index reads the bytes of its elements, and no others.

    Args:
        shape: Of the array.
        dtype: Of its elements.
        stored: The type that they are written as.
        blocks: Those that make it up.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    stored: np.dtype
    blocks: tuple[_Block, ...]

    def __getitem__(self, index: tuple[slice, ...]) -> np.ndarray:
        """A copy of a block.

        Args:
            index: Slices without steps, for the first axes; `()`: all of it.

        Raises:
            DamagedError: If a file is gone, or shorter than it was.
        """
        slices = [*index, *[slice(None)] * (len(self.shape) - len(index))]
        bounds = [s.indices(n)[:2] for s, n in zip(slices, self.shape, strict=True)]
        begin = tuple(a for a, _ in bounds)
        end = tuple(max(a, b) for a, b in bounds)
        found = np.empty([b - a for a, b in zip(begin, end, strict=True)], self.stored)
        for block in self.blocks:
            first = tuple(map(max, begin, block.start))
            last = tuple(map(min, end, block.stop))
            if all(a < b for a, b in zip(first, last, strict=True)):
                here = _slices(first, last, begin)
                found[here] = self._mapped(block)[_slices(first, last, block.start)]
        return found.view(self.dtype)

    def _mapped(self, block: _Block) -> np.ndarray:
        shape = tuple(b - a for a, b in zip(block.start, block.stop, strict=True))
        with durable_files.reading(block.path) as file:
            try:
                return np.memmap(file, self.stored, "r", block.offset, shape)
            except ValueError as error:
                raise DamagedError(f"{block.path.name} is truncated") from error


def _slices(
    first: tuple[int, ...], last: tuple[int, ...], origin: tuple[int, ...]
) -> tuple[slice, ...]:
    return tuple(
        slice(a - o, b - o) for a, b, o in zip(first, last, origin, strict=True)
    )


def arrays_of(
    folder: pathlib.Path, opened: Mapping[str, IO[bytes]], table: Any
) -> dict[str, MappedArray]:
    """All arrays of a checkpoint; none is read.

    Args:
        folder: Its folder.
        opened: Its files, each at its beginning.
        table: That of the arrays that are whole, as `state.decode` gives it.

    Raises:
        DamagedError: If a file and its table do not belong together, or the pieces do
            not make up an array.
    """
    found = {}
    offsets = npz.locate(opened[ARRAYS], table)
    for row in table:
        shape = tuple(row["shape"])
        block = _Block(folder / ARRAYS, offsets[row["name"]], (0,) * len(shape), shape)
        found[row["name"]] = MappedArray(shape, *npz.types(row["dtype"]), (block,))
    return found | in_parts(folder, opened)


def in_parts(
    folder: pathlib.Path, opened: Mapping[str, IO[bytes]]
) -> dict[str, MappedArray]:
    """The arrays that were cut over processes; see `arrays_of`."""
    blocks: dict[str, list[_Block]] = {}
    first: dict[str, Entry] = {}
    tables = []
    for index in range(number_of_parts(opened)):
        table, name = part_names(index)
        opened[table].seek(0)
        entries = part_table.decode(opened[table].read(), table)
        tables.append(entries)
        offsets = npz.locate(opened[name], [entry.member() for entry in entries])
        for entry in entries:
            block = _Block(folder / name, offsets[str(entry)], entry.start, entry.stop)
            blocks.setdefault(entry.name, []).append(block)
            first.setdefault(entry.name, entry)
    missing = part_table.gaps(tables)
    if missing:
        raise DamagedError(f"the parts do not make up {missing[0]}")
    return {
        name: MappedArray(entry.shape, *npz.types(entry.dtype), tuple(blocks[name]))
        for name, entry in first.items()
    }
