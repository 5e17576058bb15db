"""Messages between processes: JSON, and arrays beside it, with no pickles."""

import io
import json
import struct
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

_LENGTHS = struct.Struct(">QQ")


def write(file: BinaryIO, message: Mapping[str, Any], arrays: Mapping = {}) -> None:
    """Sends a message.

    Args:
        file: Opened for writing.
        message: Anything that JSON takes.
        arrays: Name -> array.
    """
    head, body = json.dumps(message).encode(), io.BytesIO()
    np.savez(body, **{name.replace("/", "|"): value for name, value in arrays.items()})
    data = body.getvalue()
    file.write(_LENGTHS.pack(len(head), len(data)) + head + data)
    file.flush()


def read(file: BinaryIO) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Receives a message.

    Raises:
        EOFError: If the other side has ended.
    """
    head_size, size = _LENGTHS.unpack(_exactly(file, _LENGTHS.size))
    message = json.loads(_exactly(file, head_size))
    with np.load(io.BytesIO(_exactly(file, size)), allow_pickle=False) as content:
        arrays = {name.replace("|", "/"): content[name] for name in content.files}
    return message, arrays


def _exactly(file: BinaryIO, size: int) -> bytes:
    parts = []
    while size:
        part = file.read(min(size, 2**20))
        if not part:
            raise EOFError("the other process has ended")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
