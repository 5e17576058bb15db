"""Files that are on the disk when they are closed, and files that are not trusted."""

import contextlib
import errno
import hashlib
import json
import os
import pathlib
import stat
from collections.abc import Iterator
from typing import IO, Any

from kerascale.runtime import pace

PIECE = 16 * 2**20


class DamagedError(Exception):
    """A checkpoint that cannot be used. Its text is the reason."""


class HashedFile:
    """A file being written, with the sha256 and the size of what it was given.

    It cannot seek: what was hashed is what the file consists of. It holds what it was
    given, which may not change, until it has been compared with what the disk has.

    Args:
        file: The file underneath.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self._written: list[memoryview] = []
        self.size = 0

    def write(self, data: bytes | memoryview) -> int:
        view = memoryview(data)
        # An unbuffered file may take less than all, for instance on a full disk.
        start = 0
        while start < len(view):
            count = self._file.write(view[start : start + pace.PIECE])
            self._hash.update(view[start : start + count])
            start += count
            pace.rest()
        self._written.append(view)
        self.size += len(view)
        return len(view)

    def flush(self) -> None:
        """Nothing: the file underneath has no buffer."""

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def compare(self, path: pathlib.Path) -> None:
        """Reads the closed file back, and compares it with what was written.

        Byte by byte, which takes a fifth of the time of a second sum.

        Args:
            path: The file.

        Raises:
            DamagedError: If it differs.
        """
        with reading(path) as file:
            check_size(file, path.name, self.size)
            buffer = bytearray(pace.PIECE)
            for view in self._written:
                for start in range(0, len(view), pace.PIECE):
                    _compare(file, path.name, view[start : start + pace.PIECE], buffer)
                    pace.rest()
        self._written.clear()


@contextlib.contextmanager
def writing(path: pathlib.Path) -> Iterator[HashedFile]:
    """A new file that is on the disk when the context ends.

    It is closed in the open, because a full disk may not show before.

    Raises:
        OSError: If it exists, or cannot be written.
    """
    file = open(path, "xb", buffering=0)
    try:
        hashed = HashedFile(file)
        yield hashed
        os.fsync(file.fileno())
        # So that verification reads what the disk has, and so that checkpoints do not
        # push the training data out of memory. It is a wish, which can be refused.
        with contextlib.suppress(OSError):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    except BaseException:
        with contextlib.suppress(OSError):  # The first failure is the one to tell.
            file.close()
        raise
    file.close()


def sync_folder(path: pathlib.Path) -> None:
    """Brings the names in a folder onto the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network filesystems flush files alone.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def reading(path: pathlib.Path) -> Iterator[IO[bytes]]:
    """A regular file, opened without following a symbolic link.

    Raises:
        DamagedError: If it is missing, something else than a file, or unreadable.
    """
    try:
        # Without O_NONBLOCK a named pipe would hold up the process.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        raise DamagedError(f"{path.name} is missing") from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise DamagedError(f"{path.name} is a symbolic link") from None
        raise _unreadable(path, error) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DamagedError(f"{path.name} is not a file")
    with os.fdopen(descriptor, "rb") as file:
        try:
            yield file
        except OSError as error:
            raise _unreadable(path, error) from error


def _unreadable(path: pathlib.Path, error: OSError) -> DamagedError:
    return DamagedError(f"{path.name} cannot be read ({error.strerror or error})")


def check_bytes(file: IO[bytes], name: str, size: int, sha256: str) -> None:
    """Compares an open file with what was written, and goes back to its beginning.

    Args:
        file: The file, at its beginning.
        name: How it is called in a reason.
        size: How many bytes were written.
        sha256: Their sum.

    Raises:
        DamagedError: If it differs.
    """
    check_size(file, name, size)
    if _sum(file) != sha256:
        raise DamagedError(f"{name}: bytes changed (the sha256 differs)")
    file.seek(0)


def check_size(file: IO[bytes], name: str, size: int) -> None:
    """Compares the size of an open file with what was written.

    Raises:
        DamagedError: If it differs.
    """
    found = os.fstat(file.fileno()).st_size
    if found < size:
        raise DamagedError(f"{name} is truncated: {found} of {size} bytes")
    if found > size:
        raise DamagedError(f"{name}: bytes changed ({found} instead of {size})")


def _compare(
    file: IO[bytes], name: str, expected: memoryview, buffer: bytearray
) -> None:
    """Compares the next bytes of a file; `buffer` is as large as any of them."""
    if len(expected) != len(buffer):
        buffer = bytearray(len(expected))
    # A bytearray compares as memory does; two views would, byte by byte, as numbers.
    if file.readinto(buffer) != len(buffer) or buffer != expected:
        raise DamagedError(f"{name}: bytes changed (it is not what was written)")


def _sum(file: IO[bytes]) -> str:
    found = hashlib.sha256()
    while piece := file.read(pace.PIECE):
        found.update(piece)
        pace.rest()
    return found.hexdigest()


def parse_json(data: bytes, name: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        DamagedError: If it is something else.
    """
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        raise DamagedError(f"{name} is not JSON") from None
    if not isinstance(content, dict):
        raise DamagedError(f"{name} is not a JSON object")
    return content
