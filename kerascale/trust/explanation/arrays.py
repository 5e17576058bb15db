"""Arrays through a pipe."""

import io
from typing import BinaryIO

import numpy as np


def write(stream: BinaryIO, array: np.ndarray) -> None:
    """Sends an array, its length first: a pipe cannot be read back."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    data = buffer.getvalue()
    stream.write(len(data).to_bytes(8, "little") + data)
    stream.flush()


def read(stream: BinaryIO) -> np.ndarray:
    """Receives an array.

    Raises:
        EOFError: If the other side has ended.
    """
    size = int.from_bytes(_exactly(stream, 8), "little")
    return np.load(io.BytesIO(_exactly(stream, size)), allow_pickle=False)


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data
