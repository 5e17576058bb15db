"""Arrays of an `.npz` file that are read some rows at a time, compressed or not."""

import math
import zipfile
from collections.abc import Iterator

import numpy as np
from numpy.lib import format as npy

from kerascale.datasets.raw import Kind
from kerascale.datasets.sources.arrays import Unread
from kerascale.datasets.sources.checks import Problems, check_features
from kerascale.datasets.sources.npz_source import DAMAGED
from kerascale.errors import RefusedError

_BLOCK_BYTES = 8 * 2**20
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


class Member(Unread):
    """The features of one split in a file, in the form of `Split.features`.

    Args:
        path: The file.
        name: The array's name.
    """

    def __init__(self, path: str, name: str) -> None:
        self.path, self.name = path, name
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
            self._shape, self._is_fortran, self._dtype = _read_header(file)
        self.shape, self.dtype = self._shape, self._dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def num_bytes(self) -> int:
        """Of the array in the file, when it is not compressed."""
        return math.prod(self._shape) * self._dtype.itemsize

    @property
    def is_streamed(self) -> bool:
        """Whether its rows stand one after the other, and are no Python objects."""
        rows = len(self._shape) > 0 and self._shape[0] > 0
        flat = not self._is_fortran or len(self._shape) == 1
        return rows and flat and self._dtype.kind in "buifU"

    def __len__(self) -> int:
        return self.shape[0]

    def look(self, problems: Problems) -> tuple[Kind, "Member"] | None:
        """Takes the form of `Split.features`, by its first rows."""
        for _, rows in self.blocks(0, 1):
            checked = check_features(rows, self.name, problems)
            if checked is not None:
                kind, features = checked
                self.shape = (self._shape[0], *features.shape[1:])
                self.dtype = features.dtype
                return kind, self
        return None

    def blocks(
        self, first: int, most: int | None = None
    ) -> Iterator[tuple[int, np.ndarray]]:
        """The rows from `first` on as they are in the file, some at a time.

        Args:
            first: A row.
            most: Rows at a time; None: about 8 MiB.

        Yields:
            The number of the first of them, and an array.

        Raises:
            RefusedError: If the file is damaged.
        """
        row = self.num_bytes // self._shape[0]
        step = most or max(1, _BLOCK_BYTES // max(1, row))
        try:
            with (
                zipfile.ZipFile(self.path) as archive,
                archive.open(f"{self.name}.npy") as file,
            ):
                _read_header(file)
                file.seek(first * row, 1)
                for start in range(first, self._shape[0], step):
                    count = min(step, self._shape[0] - start)
                    content = file.read(count * row)
                    if len(content) < count * row:
                        raise EOFError(f"it ends in row {start + len(content) // row}")
                    shape = (count, *self._shape[1:])
                    yield start, np.frombuffer(content, self._dtype).reshape(shape)
                file.read(1)  # Compares the checksum.
        except DAMAGED as error:
            if isinstance(error, RefusedError):
                raise
            raise RefusedError(
                f"{self.path}: expected the array {self.name!r}. Received: damaged "
                f"data ({error}). Copy or write the file again."
            ) from error


def _read_header(file) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = npy.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"a header of version {version}")
    return _HEADERS[version](file)
