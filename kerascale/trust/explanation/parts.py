"""How the numbers of an example fall into parts that a person can name."""

import dataclasses
from typing import Any

import numpy as np

# Squares of a picture that are tried one by one.
_MOST_SQUARES = 64


@dataclasses.dataclass(frozen=True)
class Parts:
    """Numbers that belong together: of a pixel, a word, a column.

    Args:
        number_of: The part of each place, integers of the shape of an example without
            its last axes, which belong to one part each.
        names: Of each part; empty where a place is its name.
    """

    number_of: np.ndarray
    names: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        return int(self.number_of.max()) + 1

    def sums(self, values: np.ndarray) -> np.ndarray:
        """What the numbers of each part sum up to.

        Args:
            values: Of shape (examples, ...).

        Returns:
            float64 of shape (examples, parts).
        """
        flat = values.astype(np.float64).reshape(len(values), self.number_of.size, -1)
        found = np.zeros((len(values), self.count))
        np.add.at(found, (slice(None), self.number_of.reshape(-1)), flat.sum(axis=-1))
        return found

    def spread(self, of_parts: np.ndarray, ndim: int) -> np.ndarray:
        """A number of each part, at each of its places.

        Args:
            of_parts: Of shape (variants, parts).
            ndim: Axes of an example; those behind ours have size 1.
        """
        found = of_parts[:, self.number_of]
        more = ndim - self.number_of.ndim
        return found.reshape(*found.shape, *[1] * more)

    def finer(self, values: np.ndarray, fine: "Parts") -> np.ndarray:
        """What was found of parts, divided among those of a finer division.

        Args:
            values: Of shape (examples, parts).
            fine: Each of its parts lies in one of these.

        Returns:
            Of shape (examples, parts of `fine`); the sums stay.
        """
        if fine is self:
            return values
        of_fine = np.zeros(fine.count, np.int64)
        of_fine[fine.number_of.reshape(-1)] = self.number_of.reshape(-1)
        sizes = np.bincount(of_fine, minlength=self.count)
        return values[:, of_fine] / sizes[of_fine]


def of_picture(height: int, width: int) -> Parts:
    """Each pixel is a part."""
    return Parts(np.arange(height * width).reshape(height, width))


def squares(height: int, width: int, most: int = _MOST_SQUARES) -> Parts:
    """A picture in at most so many squares of one size; those at the edge are cut."""
    side = 1
    while -(-height // side) * -(-width // side) > most:
        side += 1
    across = -(-width // side)
    rows, columns = np.mgrid[:height, :width]
    return Parts(rows // side * across + columns // side)


def in_a_row(count: int, names: Any = ()) -> Parts:
    """Each place along the first axis is a part."""
    return Parts(np.arange(count), tuple(map(str, names)))


def of_widths(widths: Any, names: Any) -> Parts:
    """Columns, each of some numbers beside each other."""
    return Parts(np.repeat(np.arange(len(widths)), widths), tuple(map(str, names)))
