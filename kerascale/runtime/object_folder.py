"""Objects below one address of a store, written and read by name.

An object is there as a whole or not at all: both stores make it visible when its last
byte has come. There is no rename, no order between objects but that of the writes, and
nothing that two writers could lock.
"""

import contextlib
import hashlib
import pathlib
from collections.abc import Iterator

import pyarrow.fs

from kerascale.runtime.object_stores import Store

_PIECE = 8 * 2**20


class ObjectFolder:
    """What is below an address.

    Args:
        address: `s3://BUCKET/KEY` or `gs://BUCKET/KEY`.

    Raises:
        RefusedError: If it is no such address, or the store does not answer.
    """

    def __init__(self, address: str) -> None:
        store = Store(address)
        self.address = address.rstrip("/")
        self._files, self._path = store.files, store.path

    def names(self, prefix: str) -> list[str]:
        """The names below a part of it, sorted; empty if there is none.

        Raises:
            ConnectionError: If the store does not answer, as from all below.
        """
        where = f"{self._path}/{prefix}"
        with _answering(where):
            selector = pyarrow.fs.FileSelector(where, allow_not_found=True)
            infos = self._files.get_file_info(selector)
        is_file = pyarrow.fs.FileType.File
        return sorted(info.base_name for info in infos if info.type == is_file)

    def has(self, name: str, size: int) -> bool:
        """Whether there is an object of that name and size."""
        with _answering(name):
            info = self._files.get_file_info(f"{self._path}/{name}")
        return info.type == pyarrow.fs.FileType.File and info.size == size

    def put(self, name: str, content: bytes) -> None:
        """Writes an object; one of that name is replaced."""
        with _answering(name), self._files.open_output_stream(self._at(name)) as file:
            file.write(content)

    def put_file(self, name: str, path: pathlib.Path, size: int, sha256: str) -> bool:
        """Writes the first bytes of a file as an object.

        Returns:
            Whether the file had what `sha256` is the sum of; else the object is gone.

        Raises:
            OSError: If the file cannot be read.
        """
        digest, left = hashlib.sha256(), size
        with open(path, "rb") as source, _answering(name):
            with self._files.open_output_stream(self._at(name)) as file:
                while left and (piece := source.read(min(left, _PIECE))):
                    file.write(piece)
                    digest.update(piece)
                    left -= len(piece)
        if not left and digest.hexdigest() == sha256:
            return True
        self.remove(name)
        return False

    def read(self, name: str) -> bytes:
        """What an object holds."""
        with _answering(name), self._files.open_input_stream(self._at(name)) as file:
            return file.read()

    def fetch(self, name: str, path: pathlib.Path) -> str:
        """Writes an object into a new file.

        Returns:
            Its sha256.

        Raises:
            FileNotFoundError: If there is no such object.
            OSError: If the file cannot be written.
        """
        digest = hashlib.sha256()
        with open(path, "xb") as file, contextlib.ExitStack() as stack:
            with _answering(name):
                source = stack.enter_context(
                    self._files.open_input_stream(self._at(name))
                )
            while True:
                with _answering(name):
                    piece = source.read(_PIECE)
                if not piece:
                    return digest.hexdigest()
                file.write(piece)
                digest.update(piece)

    def remove(self, name: str) -> None:
        """Removes an object, if it is there."""
        with _answering(name), contextlib.suppress(FileNotFoundError):
            self._files.delete_file(self._at(name))

    def _at(self, name: str) -> str:
        return f"{self._path}/{name}"


@contextlib.contextmanager
def _answering(name: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConnectionError(f"{name}: its store does not answer: {error}") from error
