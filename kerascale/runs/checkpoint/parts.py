"""What a process writes of arrays that are cut over several."""

import errno
import pathlib
from collections.abc import Mapping

from kerascale.runs.checkpoint import arrays as npz
from kerascale.runs.checkpoint import part_table
from kerascale.runs.checkpoint.injected_faults import reach
from kerascale.runs.checkpoint.manifest import Record, part_names
from kerascale.runtime import durable_files
from kerascale.runtime.array_parts import ArrayParts
from kerascale.runtime.durable_files import DamagedError


def write(
    folder: pathlib.Path, index: int, step: int, arrays: Mapping[str, ArrayParts]
) -> dict[str, Record]:
    """Writes the pieces of a process, and their table; all is on the disk, read back.

    Args:
        folder: The checkpoint's, which is hidden.
        index: Which process this is.
        step: The step.
        arrays: What it has.

    Returns:
        What the files are.

    Raises:
        OSError: If the operating system refuses, or gives back other bytes.
    """
    table_name, arrays_name = part_names(index)
    entries = part_table.describe(arrays)
    pieces = [piece for parts in arrays.values() for piece in parts.pieces]
    by_name = {str(e): p.array for e, p in zip(entries, pieces, strict=True)}
    with durable_files.writing(folder / arrays_name) as array_file:
        npz.write(array_file, by_name, lambda: reach("save:during-part", step))
    with durable_files.writing(folder / table_name) as table_file:
        table_file.write(part_table.encode(entries))
    durable_files.sync_folder(folder)
    try:
        array_file.compare(folder / arrays_name)
        table_file.compare(folder / table_name)
    except DamagedError as error:
        raise OSError(errno.EIO, f"read back otherwise ({error})") from error
    reach("save:after-part", step)
    return {arrays_name: Record.of(array_file), table_name: Record.of(table_file)}


def refuse_gaps(folder: pathlib.Path, records: Mapping[str, Record]) -> None:
    """Looks at what the other processes have written, as this one sees it.

    Args:
        folder: The checkpoint's.
        records: What they say that the files are.

    Raises:
        OSError: If a file is not there or is another one, or the parts do not make up
            the arrays.
    """
    tables = []
    for name, record in sorted(records.items()):
        try:
            with durable_files.reading(folder / name) as file:
                if name.endswith(".json"):
                    durable_files.check_bytes(file, name, record.size, record.sha256)
                    tables.append(part_table.decode(file.read(), name))
                else:
                    durable_files.check_size(file, name, record.size)
        except DamagedError as error:
            raise OSError(
                errno.EIO,
                f"another process has written it otherwise: {error}. All processes "
                "must share the run folder",
            ) from error
    gaps = part_table.gaps(tables)
    if gaps:
        raise OSError(errno.EIO, f"the parts do not make up {gaps[0]}")
