"""Arrays that are cut over processes: what one of them has of each."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Piece:
    """A block of an array.

    Args:
        start: Of each axis of the array, the index of the block's first element.
        array: Its elements.
    """

    start: tuple[int, ...]
    array: np.ndarray

    @property
    def stop(self) -> tuple[int, ...]:
        """Of each axis, the index behind its last element."""
        sizes = self.array.shape
        return tuple(s + n for s, n in zip(self.start, sizes, strict=True))


@dataclasses.dataclass(frozen=True)
class ArrayParts:
    """What one process has of an array, to be written by it.

    The pieces of all processes make up the array: no element is in two of them.

    Args:
        shape: Of the whole array.
        dtype: Of its elements.
        pieces: Those of this process, which may be none.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    pieces: tuple[Piece, ...]
