"""The training rows of a packed data set, a part at a time."""

import math
import pathlib
from collections.abc import Sequence

import numpy as np

from kerascale.datasets.packed import layout

# Rows between two wanted ones that are read with them rather than left out.
_GAP_BYTES = 2**20


class TrainingRows:
    """Rows of one shape that are read when a slice is asked for; not memory-mapped.

    Pages of a mapping would count as memory of this process.

    Args:
        folder: The packed data set.
        shape: Of one row.
        dtype: Of the rows.
        count: Of the training rows.
    """

    def __init__(
        self, folder: pathlib.Path, shape: Sequence[int], dtype: str, count: int
    ) -> None:
        self.shape = (count, *shape)
        self.ndim = len(self.shape)
        self.size = math.prod(self.shape)
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._features = folder / layout.FEATURES
        self._index = folder / layout.INDEX.format(split="train")

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, part: slice) -> np.ndarray:
        """The rows of a slice with step 1, of shape (rows, ...)."""
        start, stop, _ = part.indices(len(self))
        index = np.fromfile(self._index, "<i8", stop - start, offset=start * 8)
        row_bytes = math.prod(self.shape[1:]) * self._dtype.itemsize
        rows = np.empty((len(index), *self.shape[1:]), self._dtype)
        gap = max(1, _GAP_BYTES // max(1, row_bytes))
        breaks = np.flatnonzero(np.diff(index) > gap) + 1
        with open(self._features, "rb") as file:
            for places in np.split(np.arange(len(index)), breaks):
                wanted = index[places]
                first, behind = int(wanted[0]), int(wanted[-1]) + 1
                shape = (behind - first, *self.shape[1:])
                file.seek(first * row_bytes)
                found = np.fromfile(file, self._dtype, math.prod(shape))
                rows[places] = found.reshape(shape)[wanted - first]
        return rows
