"""The manifest: what a checkpoint's folder must hold, byte by byte.

{"format": "kerascale-checkpoint", "version": 1, "step": 40,
 "files": {"state.json": {"size": 812, "sha256": "..."}, "state.npz": ...},
 "sha256": "... of all above"}

Version 2 has files beside these, `part-00000.json` and `part-00000.npz` of each process
that took part: the blocks that it had of arrays which were cut over processes.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import stat
from collections.abc import Collection, Iterator
from typing import IO, Any

from kerascale.runs.checkpoint import part_table
from kerascale.runs.layout import ARRAYS, MANIFEST, PART_ARRAYS, PART_TABLE, STATE
from kerascale.runtime import durable_files
from kerascale.runtime.durable_files import DamagedError, HashedFile

FORMAT = "kerascale-checkpoint"
VERSION = 1
# With parts.
VERSION_OF_PARTS = 2

_TABLE = re.compile(r"part-[0-9]{5}\.json")

LARGEST_MANIFEST = 2**20
LARGEST_STATE = 2**28


@dataclasses.dataclass(frozen=True)
class Record:
    """What one file must be.

    Args:
        size: Its bytes.
        sha256: Their sum.
    """

    size: int
    sha256: str

    @classmethod
    def of(cls, file: HashedFile) -> "Record":
        """What was written."""
        return cls(file.size, file.sha256)


def encode(step: int, records: dict[str, Record]) -> bytes:
    """The bytes of the manifest of a step."""
    content = {
        "format": FORMAT,
        "version": VERSION_OF_PARTS if number_of_parts(records) else VERSION,
        "step": step,
        "files": {name: vars(records[name]) for name in sorted(records)},
    }
    return _encode({**content, "sha256": _own_sum(content)})


def read(folder: pathlib.Path, step: int) -> dict[str, Record]:
    """What the files of a checkpoint's folder must be.

    Args:
        folder: The folder.
        step: The step that its name says.

    Raises:
        DamagedError: If the manifest is missing, changed, or of another format.
    """
    content = _content(folder)
    listed = content.get("files")
    parts = number_of_parts(listed) if isinstance(listed, dict) else 0
    expected = (FORMAT, VERSION_OF_PARTS if parts else VERSION)
    if (content.get("format"), content.get("version")) != expected:
        raise DamagedError(
            f"{MANIFEST} is of another format: expected {FORMAT} {expected[1]}. "
            f"Received: {content.get('format')!r:.80} {content.get('version')!r:.20}"
        )
    if content.get("step") != step:
        raise DamagedError(
            f"{MANIFEST} is of another step: {content.get('step')!r:.20}"
        )
    if not isinstance(listed, dict):
        raise DamagedError(f"{MANIFEST} lists no files")
    for name in listed:
        if name in ("", ".", "..") or os.path.basename(name) != name or "\0" in name:
            raise DamagedError(f"{MANIFEST} names a file elsewhere: {name!r:.80}")
    wanted = {ARRAYS, STATE, *(name for i in range(parts) for name in part_names(i))}
    if set(listed) != wanted:
        raise DamagedError(
            f"{MANIFEST} lists other files: {', '.join(sorted(listed)):.200}"
        )
    return {name: _record(name, values) for name, values in listed.items()}


def part_names(index: int) -> tuple[str, str]:
    """The table and the arrays of what a process has written."""
    return PART_TABLE.format(index), PART_ARRAYS.format(index)


def number_of_parts(names: Collection[str]) -> int:
    """How many processes have written, where files have such names."""
    return sum(1 for name in names if _TABLE.fullmatch(name))


@contextlib.contextmanager
def verified(
    folder: pathlib.Path, step: int, *, sums: bool = True
) -> Iterator[tuple[dict[str, Record], dict[str, IO[bytes]]]]:
    """Opens the files of a checkpoint, all of which are as they were written.

    Args:
        folder: The folder.
        step: The step that its name says.
        sums: Whether arrays are summed; else they are of the right size.

    Yields:
        What the manifest says of each, and each, open at its beginning.

    Raises:
        DamagedError: If one is not; nothing of it has been parsed then.
    """
    _refuse_other_than_folder(folder)
    records = read(folder, step)
    with contextlib.ExitStack() as stack:
        opened = {}
        for name, record in sorted(records.items()):
            try:
                file = stack.enter_context(durable_files.reading(folder / name))
                opened[name] = file
                if sums or name.endswith(".json"):
                    durable_files.check_bytes(file, name, record.size, record.sha256)
                else:
                    durable_files.check_size(file, name, record.size)
            except DamagedError as error:
                raise DamagedError(f"{error}{_lost(name, opened)}") from error
        yield records, opened


def _lost(name: str, opened: dict[str, IO[bytes]]) -> str:
    """Which pieces a damaged file of a part holds."""
    for index in range(number_of_parts(opened)):
        table, arrays = part_names(index)
        if name == arrays:
            entries = part_table.decode(opened[table].read(), table)
            return part_table.of_damaged(entries, opened.get(name))
    return ""


def _content(folder: pathlib.Path) -> dict[str, Any]:
    with durable_files.reading(folder / MANIFEST) as file:
        data = file.read(LARGEST_MANIFEST + 1)
    if not data:
        raise DamagedError(f"{MANIFEST} is empty")
    if len(data) > LARGEST_MANIFEST:
        raise DamagedError(f"{MANIFEST} is larger than {LARGEST_MANIFEST} bytes")
    content = durable_files.parse_json(data, MANIFEST)
    rest = {key: value for key, value in content.items() if key != "sha256"}
    try:
        # The bytes too: one way to write it is the only one.
        whole = content.get("sha256") == _own_sum(rest) and data == _encode(content)
    except RecursionError:
        whole = False
    if not whole:
        raise DamagedError(f"{MANIFEST}: bytes changed (the sha256 differs)")
    return content


def _refuse_other_than_folder(folder: pathlib.Path) -> None:
    try:
        mode = os.lstat(folder).st_mode
    except OSError as error:
        raise DamagedError(f"the folder is missing ({error.strerror})") from None
    if stat.S_ISLNK(mode):
        raise DamagedError("the folder is a symbolic link")
    if not stat.S_ISDIR(mode):
        raise DamagedError("not a folder")


def _record(name: str, values: Any) -> Record:
    try:
        record = Record(**values)
    except TypeError:
        raise DamagedError(f"{MANIFEST} says nothing of {name}") from None
    if type(record.size) is not int or not isinstance(record.sha256, str):
        raise DamagedError(f"{MANIFEST} says nothing of {name}")
    if name.endswith(".json") and record.size > LARGEST_STATE:
        raise DamagedError(f"{name} is larger than {LARGEST_STATE} bytes")
    return record


def _encode(content: dict[str, Any]) -> bytes:
    return json.dumps(content, indent=2).encode() + b"\n"


def _own_sum(content: dict[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
