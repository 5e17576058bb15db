"""Reads the records of a TFRecord file one by one: whole, or what is wrong with each.

A record is its length (8 bytes), a checksum of the length (4), the content, and a
checksum of the content (4); integers are little-endian, and the checksum is a masked
CRC-32C (tensorflow/core/lib/io/record_writer.h). After a bad checksum of a content the
next record is found all the same; after one of a length nothing more is.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from typing import IO, NamedTuple

import google_crc32c

# How a name ends that says how the file is compressed -> zlib's wbits.
COMPRESSIONS = {".gz": 31, ".zlib": 15}
_GZIP = b"\x1f\x8b"
_HEAD = struct.Struct("<QI")
_TAIL = struct.Struct("<I")
_CHUNK_BYTES = 2**16
_COMPRESSED_CHUNK_BYTES = 2**10


class Record(NamedTuple):
    """The content of a record, and its number in the file, from 1."""

    number: int
    content: bytes


class Damage(NamedTuple):
    """A record that cannot be read.

    Args:
        number: Its number in the file, from 1.
        reason: What was expected and what was received.
        lost_bytes: What of the file cannot be read for it; 0 if the next record can.
    """

    number: int
    reason: str
    lost_bytes: int = 0


def read_records(path: str, largest: int) -> Iterator[Record | Damage]:
    """Yields what is in a TFRecord file, in order.

    A file that was cut off exactly behind a record looks whole.

    Args:
        path: The file; `.gz` and `.zlib` at the end of its name say that it is
            compressed.
        largest: Bytes that a record may have.

    Yields:
        Every record that is whole, and a `Damage` for every other one. Behind a
        `Damage` with `lost_bytes` nothing comes.
    """
    number, left = 0, 0
    try:
        with open(path, "rb") as file:
            reader = _Reader(file, COMPRESSIONS.get(_suffix(path)))
            while True:
                number += 1
                left = max(1, reader.bytes_left())
                head = reader.take(_HEAD.size)
                if not head:
                    return
                reason = _wrong_head(head, number, largest)
                if reason:
                    yield Damage(number, reason, left)
                    return
                length, _ = _HEAD.unpack(head)
                content, tail = reader.take(length), reader.take(_TAIL.size)
                if len(tail) < _TAIL.size:
                    reason = (
                        f"expected a record of {length} bytes. Received: {len(content)}"
                        " bytes, where the file ends"
                    )
                    yield Damage(number, reason, left)
                    return
                if _TAIL.unpack(tail)[0] == masked_crc(content):
                    yield Record(number, content)
                else:
                    yield Damage(number, "its checksum does not match its content")
    except (EOFError, OSError, zlib.error) as error:
        yield Damage(number, f"cannot be read, nor what follows ({error})", left)


def masked_crc(data: bytes) -> int:
    """The checksum of TFRecord files."""
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _wrong_head(head: bytes, number: int, largest: int) -> str:
    if len(head) < _HEAD.size:
        return f"expected a record. Received: {len(head)} bytes, where the file ends"
    length, crc = _HEAD.unpack(head)
    if crc != masked_crc(head[:8]):
        if number == 1 and head.startswith(_GZIP):
            return "expected a TFRecord file. Received: a gzip file; name it .gz"
        if number == 1:
            return f"expected a TFRecord file. Received: one that begins with {head!r}"
        return "the checksum of its length does not match, and the rest is lost"
    if length > largest:
        return f"expected a record that fits in memory. Received: {length} bytes"
    return ""


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1].lower()


class _Reader:
    """Reads a file that may be compressed, and knows how much of it is left."""

    def __init__(self, file: IO[bytes], wbits: int | None) -> None:
        self._file = file
        self._size = os.fstat(file.fileno()).st_size
        self._buffer = bytearray()
        if wbits is None:
            self._chunks = iter(lambda: file.read(_CHUNK_BYTES), b"")
        else:
            self._chunks = _decompressed(file, wbits)
        self._buffer_is_file = wbits is None

    def take(self, count: int) -> bytes:
        """The next `count` bytes; fewer where the file ends."""
        while len(self._buffer) < count:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            self._buffer += chunk
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def bytes_left(self) -> int:
        """Bytes of the file that have not been taken; about so if it is compressed."""
        ahead = len(self._buffer) if self._buffer_is_file else 0
        return self._size - self._file.tell() + ahead


def _decompressed(file: IO[bytes], wbits: int) -> Iterator[bytes]:
    """What is in a compressed file, a limited amount at a time."""
    engine = zlib.decompressobj(wbits)
    # Small, so that it is known about where in the file a record is.
    data = file.read(_COMPRESSED_CHUNK_BYTES)
    while data:
        if engine.eof:  # Another compressed part follows.
            engine = zlib.decompressobj(wbits)
        yield engine.decompress(data, _CHUNK_BYTES)
        data = engine.unconsumed_tail or engine.unused_data
        data = data or file.read(_COMPRESSED_CHUNK_BYTES)
    if not engine.eof:
        yield engine.flush()
    if not engine.eof:
        raise EOFError("it ends before the compressed data does")
