"""What is in a checkpoint's folder: written, read back, and read again one day."""

import dataclasses
import errno
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from kerascale.runs.checkpoint import arrays as npz
from kerascale.runs.checkpoint import manifest
from kerascale.runs.checkpoint import state as plain
from kerascale.runs.checkpoint.injected_faults import reach
from kerascale.runs.checkpoint.manifest import Record
from kerascale.runs.layout import ARRAYS, MANIFEST, STATE
from kerascale.runtime import durable_files
from kerascale.runtime.durable_files import DamagedError


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What was saved at one step.

    Args:
        step: The step.
        arrays: Its arrays by name, in the order in which they were given.
        metadata: Its plain values.
    """

    step: int
    arrays: dict[str, np.ndarray]
    metadata: dict[str, Any]


def prepare(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> bytes:
    """The bytes of state.json.

    Raises:
        RefusedError: If something cannot be written.
    """
    return plain.encode(npz.describe(arrays), metadata)


def write(
    folder: pathlib.Path, step: int, arrays: Mapping[str, np.ndarray], state: bytes
) -> dict[str, Record]:
    """Makes a folder and its files, all of it on the disk and read back.

    Args:
        folder: The folder, which nobody looks into yet.
        step: The step.
        arrays: The arrays.
        state: See `prepare`.

    Returns:
        What the files are.

    Raises:
        OSError: If the operating system refuses, or gives back other bytes.
    """
    folder.mkdir()
    with durable_files.writing(folder / ARRAYS) as array_file:
        npz.write(array_file, arrays, lambda: reach("save:during-arrays", step))
        reach("save:before-fsync", step)
    reach("save:after-fsync", step)
    with durable_files.writing(folder / STATE) as state_file:
        state_file.write(state)
    records = {ARRAYS: Record.of(array_file), STATE: Record.of(state_file)}
    durable_files.sync_folder(folder)
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


def read(folder: pathlib.Path, step: int) -> Checkpoint:
    """A checkpoint, parsed after every byte was compared with the manifest.

    Raises:
        DamagedError: If it is not whole.
    """
    with manifest.verified(folder, step) as (_, opened):
        table, metadata = plain.decode(opened[STATE].read())
        return Checkpoint(step, npz.read(opened[ARRAYS], table), metadata)
