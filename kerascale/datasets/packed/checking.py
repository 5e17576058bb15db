"""Reads a packed data set against its checksums, and names rows that are damaged."""

import dataclasses
import errno
import math
import pathlib
from collections.abc import Callable, Iterator

import google_crc32c
import numpy as np

from kerascale.datasets.packed import checksums, layout, manifest
from kerascale.datasets.packed.manifest import Manifest
from kerascale.datasets.packed.shards import unreadable

_READ_BYTES = 8 * layout.BLOCK_BYTES


@dataclasses.dataclass(frozen=True)
class Fault:
    """What is wrong with a file of a packed data set.

    Args:
        file: Its name.
        reason: What was expected, and what was received.
        rows: Of all splits, [first, behind the last] of those that are damaged; None:
            it is not about rows.
    """

    file: str
    reason: str
    rows: tuple[int, int] | None = None

    def __str__(self) -> str:
        if self.rows is None:
            return f"{self.file}: {self.reason}"
        first, last = self.rows[0], self.rows[1] - 1
        rows = f"row {first:,}" if first == last else f"rows {first:,} to {last:,}"
        return f"{self.file}, {rows}: {self.reason}"


def check(
    folder: pathlib.Path, seen: Callable[[int, int], None] = lambda done, total: None
) -> list[Fault]:
    """Reads all files of a packed data set, and compares them with their checksums.

    Args:
        folder: The packed data set.
        seen: Is given the bytes that were read, and those of all files.

    Returns:
        What is wrong, in the order of the files; empty if nothing is.

    Raises:
        RefusedError: If the folder is no finished packed data set.
    """
    made = manifest.load(folder)
    total, before = sum(made.sizes.values()), 0
    faults: list[Fault] = []
    for name, size in made.sizes.items():
        try:
            bad, found = damaged_blocks(
                folder / name, size, lambda done, b=before: seen(b + done, total)
            )
        except FileNotFoundError as error:
            missing = pathlib.Path(error.filename).name
            faults.append(Fault(missing, "expected. Received: no such file"))
        except OSError as error:
            reason = f"{errno.errorcode.get(error.errno)}: {error.strerror}"
            faults.append(Fault(name, f"expected a readable file. Received: {reason}"))
        else:
            faults += faults_of(folder, made, name, bad, found)
        before += size
    return faults


def damaged_blocks(
    path: pathlib.Path, size: int, seen: Callable[[int], None] = lambda done: None
) -> tuple[list[int], int]:
    """Which blocks of a file are not what was written.

    Args:
        path: The file.
        size: Bytes that were written.
        seen: Is given the bytes that were read.

    Returns:
        Their numbers, of `layout.BLOCK_BYTES` bytes each; and the bytes that the file
        has.

    Raises:
        OSError: If it, or its checksums, cannot be read.
    """
    expected = np.fromfile(checksums.path_of(path), checksums.CRC)
    num_blocks = math.ceil(size / layout.BLOCK_BYTES)
    bad, number, done = [], 0, 0
    with open(path, "rb") as file:
        while part := file.read(min(_READ_BYTES, size - done)):
            for start in range(0, len(part), layout.BLOCK_BYTES):
                block = part[start : start + layout.BLOCK_BYTES]
                sums = expected[number : number + 1]
                if not len(sums) or google_crc32c.value(block) != sums[0]:
                    bad.append(number)
                number += 1
            done += len(part)
            seen(done)
        found = done + len(file.read(1))
    return bad + list(range(number, num_blocks)), found


def faults_of(
    folder: pathlib.Path, made: Manifest, name: str, bad: list[int], found: int
) -> Iterator[Fault]:
    """What is wrong with a file.

    Args:
        folder: The packed data set.
        made: What it holds.
        name: The file.
        bad: Its blocks that are not what was written.
        found: The bytes that it has.
    """
    size = made.sizes[name]
    if found > size:
        yield Fault(name, f"expected {size:,} bytes. Received: more")
    if not bad:
        return
    reason = "bytes changed (their checksum differs)"
    if found < size:
        reason = f"expected {size:,} bytes. Received: {found:,}"
    shards = [shard["file"] for shard in made.shards]
    if name in shards:
        number = shards.index(name)
        first = sum(shard["rows"] for shard in made.shards[:number])
        parts = unreadable(folder / name, made.shards[number]["rows"])
        for start, behind in parts:
            yield Fault(name, reason, (first + start, first + behind))
        if not parts:
            yield Fault(name, f"{reason}; all rows can be read")
        return
    width = None
    if name == layout.FEATURES:
        width = math.prod(made.shape) * np.dtype(made.dtype).itemsize
    elif name == layout.LABELS:
        width = 4 * len(made.target_names) or 8
    for start, behind in _joined(bad):
        if width is None:
            yield Fault(name, f"{reason}, in blocks {start:,} to {behind - 1:,}")
            continue
        last = math.ceil(min(behind * layout.BLOCK_BYTES, size) / width)
        yield Fault(name, reason, (start * layout.BLOCK_BYTES // width, last))


def _joined(numbers: list[int]) -> list[tuple[int, int]]:
    """[first, behind the last] of numbers that follow one another."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] == number:
            found[-1] = (found[-1][0], number + 1)
        else:
            found.append((number, number + 1))
    return found
