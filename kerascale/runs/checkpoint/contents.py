"""What is in a checkpoint's folder: written, read back, and read again one day."""

import dataclasses
import errno
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from kerascale.runs.checkpoint import arrays as npz
from kerascale.runs.checkpoint import manifest, part_table, parts
from kerascale.runs.checkpoint import mapped as mapped_arrays
from kerascale.runs.checkpoint import state as plain
from kerascale.runs.checkpoint.injected_faults import reach
from kerascale.runs.checkpoint.manifest import Record
from kerascale.runs.checkpoint.mapped import MappedArray
from kerascale.runs.checkpoint.peers import Chief
from kerascale.runs.layout import ARRAYS, MANIFEST, STATE
from kerascale.runtime import durable_files
from kerascale.runtime.array_parts import ArrayParts
from kerascale.runtime.durable_files import DamagedError

# By name; those that are cut over processes, as far as this one has them.
Arrays = Mapping[str, np.ndarray | ArrayParts]


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What was saved at one step.

    Args:
        step: The step.
        arrays: Its arrays by name, in the order in which they were given; those that
            were cut over processes come last.
        metadata: Its plain values.
        folder: Where the arrays are read from when they are asked for; None: they are
            in memory.
    """

    step: int
    arrays: Mapping[str, np.ndarray | MappedArray]
    metadata: dict[str, Any]
    folder: pathlib.Path | None = None


def prepare(
    arrays: Arrays, metadata: Mapping[str, Any], *, in_parts: bool = False
) -> bytes:
    """The bytes of state.json.

    Args:
        arrays: The arrays.
        metadata: The plain values.
        in_parts: Whether some of the arrays are parts.

    Raises:
        RefusedError: If something cannot be written.
    """
    if in_parts:
        part_table.describe(parts_of(arrays))
        arrays = whole_ones(arrays)
    return plain.encode(npz.describe(arrays), metadata)


def whole_ones(arrays: Arrays) -> dict[str, np.ndarray]:
    """The arrays that this process has all of."""
    return {n: a for n, a in arrays.items() if not isinstance(a, ArrayParts)}


def parts_of(arrays: Arrays) -> dict[str, ArrayParts]:
    """Those that are cut over processes."""
    return {n: a for n, a in arrays.items() if isinstance(a, ArrayParts)}


def write(
    folder: pathlib.Path,
    step: int,
    arrays: Arrays,
    state: bytes,
    peers: Chief | None = None,
) -> dict[str, Record]:
    """Makes a folder and its files, all of it on the disk and read back.

    Args:
        folder: The folder, which nobody looks into yet.
        step: The step.
        arrays: The arrays.
        state: See `prepare`.
        peers: The other processes, each of which writes its part; None: there are
            none.

    Returns:
        What the files are.

    Raises:
        OSError: If the operating system refuses, or gives back other bytes, here or
            in another process.
    """
    folder.mkdir()
    if peers is not None:
        peers.begin(folder)
    with durable_files.writing(folder / ARRAYS) as array_file:
        npz.write(
            array_file, whole_ones(arrays), lambda: reach("save:during-arrays", step)
        )
        reach("save:before-fsync", step)
    reach("save:after-fsync", step)
    with durable_files.writing(folder / STATE) as state_file:
        state_file.write(state)
    records = {ARRAYS: Record.of(array_file), STATE: Record.of(state_file)}
    durable_files.sync_folder(folder)
    if peers is not None:
        records |= parts.write(folder, 0, step, parts_of(arrays))
        records |= peers.collect()
        own = (ARRAYS, STATE)
        parts.refuse_gaps(folder, {n: r for n, r in records.items() if n not in own})
    reach("save:before-manifest", step)
    with durable_files.writing(folder / MANIFEST) as manifest_file:
        manifest_file.write(manifest.encode(step, records))
    durable_files.sync_folder(folder)
    reach("save:after-manifest", step)
    try:
        array_file.compare(folder / ARRAYS)
        state_file.compare(folder / STATE)
        manifest_file.compare(folder / MANIFEST)
    except DamagedError as error:
        raise OSError(errno.EIO, f"read back otherwise ({error})") from error
    return records


def read(folder: pathlib.Path, step: int, *, mapped: bool = False) -> Checkpoint:
    """A checkpoint, parsed after every byte was compared with the manifest.

    Args:
        folder: Its folder.
        step: The step that its name says.
        mapped: Whether arrays stay on the disk until they are asked for.

    Raises:
        DamagedError: If it is not whole.
    """
    with manifest.verified(folder, step) as (_, opened):
        table, metadata = plain.decode(opened[STATE].read())
        if mapped:
            found = mapped_arrays.arrays_of(folder, opened, table)
            return Checkpoint(step, found, metadata, folder)
        found = npz.read(opened[ARRAYS], table)
        cut = mapped_arrays.in_parts(folder, opened)
        found |= {name: array[()] for name, array in cut.items()}
        return Checkpoint(step, found, metadata)


def look(folder: pathlib.Path, step: int) -> Checkpoint:
    """A checkpoint whose bytes another process has just compared with the manifest.

    Sizes and tables are compared here; arrays stay on the disk.

    Raises:
        DamagedError: If it is not whole.
    """
    with manifest.verified(folder, step, sums=False) as (_, opened):
        table, metadata = plain.decode(opened[STATE].read())
        found = mapped_arrays.arrays_of(folder, opened, table)
        return Checkpoint(step, found, metadata, folder)
