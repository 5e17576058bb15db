"""The manifest: what a checkpoint's folder must hold, byte by byte.

{"format": "kerascale-checkpoint", "version": 1, "step": 40,
 "files": {"state.json": {"size": 812, "sha256": "..."}, "state.npz": ...},
 "sha256": "... of all above"}
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import stat
from collections.abc import Iterator
from typing import IO, Any

from kerascale.runs.layout import ARRAYS, MANIFEST, STATE
from kerascale.runtime import durable_files
from kerascale.runtime.durable_files import DamagedError, HashedFile

FORMAT = "kerascale-checkpoint"
VERSION = 1

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
        "version": VERSION,
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
    if (content.get("format"), content.get("version")) != (FORMAT, VERSION):
        raise DamagedError(
            f"{MANIFEST} is of another format: expected {FORMAT} {VERSION}. Received: "
            f"{content.get('format')!r:.80} {content.get('version')!r:.20}"
        )
    if content.get("step") != step:
        raise DamagedError(
            f"{MANIFEST} is of another step: {content.get('step')!r:.20}"
        )
    listed = content.get("files")
    if not isinstance(listed, dict):
        raise DamagedError(f"{MANIFEST} lists no files")
    for name in listed:
        if name in ("", ".", "..") or os.path.basename(name) != name or "\0" in name:
            raise DamagedError(f"{MANIFEST} names a file elsewhere: {name!r:.80}")
    if set(listed) != {ARRAYS, STATE}:
        raise DamagedError(
            f"{MANIFEST} lists other files: {', '.join(sorted(listed)):.200}"
        )
    return {name: _record(name, values) for name, values in listed.items()}


@contextlib.contextmanager
def verified(
    folder: pathlib.Path, step: int
) -> Iterator[tuple[dict[str, Record], dict[str, IO[bytes]]]]:
    """Opens the files of a checkpoint, all of which are as they were written.

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
            opened[name] = stack.enter_context(durable_files.reading(folder / name))
            durable_files.check_bytes(opened[name], name, record.size, record.sha256)
        yield records, opened


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
    if name == STATE and record.size > LARGEST_STATE:
        raise DamagedError(f"{name} is larger than {LARGEST_STATE} bytes")
    return record


def _encode(content: dict[str, Any]) -> bytes:
    return json.dumps(content, indent=2).encode() + b"\n"


def _own_sum(content: dict[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
