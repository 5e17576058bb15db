"""The group of each example, out of the values of a column."""

import dataclasses
import itertools

import numpy as np

from kerascale.datasets.tables.column import GAPS
from kerascale.datasets.targets import number_of
from kerascale.errors import RefusedError

# Groups with fewer examples are listed, and compared with nothing.
SMALLEST = 20
_MOST = 50
# Numbers with more different values are cut into quarters.
_FEW = 10
_GAP = "(none)"


@dataclasses.dataclass(frozen=True)
class Groups:
    """Which group each example is in.

    Args:
        column: The column that says so.
        names: Of the groups.
        of: The group of each example, integers of shape (examples,).
        note: How a column of numbers was cut; empty: its values are the groups.
    """

    column: str
    names: tuple[str, ...]
    of: np.ndarray
    note: str = ""

    @property
    def sizes(self) -> np.ndarray:
        return np.bincount(self.of, minlength=len(self.names))

    @property
    def large(self) -> np.ndarray:
        """The numbers of those groups that are compared."""
        return np.flatnonzero(self.sizes >= SMALLEST)

    @property
    def small(self) -> list[str]:
        """The names of the others."""
        sizes = self.sizes
        return [n for n, size in zip(self.names, sizes, strict=True) if size < SMALLEST]


def of_values(column: str, values: np.ndarray) -> Groups:
    """Groups by the values of a column; of measured numbers, by their quarters.

    Args:
        column: Its name.
        values: Texts of shape (examples,); gaps are a group of their own.

    Raises:
        RefusedError: If there are too many groups, or one alone.
    """
    stripped = [str(value).strip() for value in values]
    cells = np.array([_GAP if c.lower() in GAPS else c for c in stripped], object)
    found = np.unique(cells.astype(str))
    numbers = [number_of(value) for value in found if value != _GAP]
    note = ""
    if len(found) > _FEW and numbers and None not in numbers:
        cells, note = _quarters(cells)
        found = np.array(sorted(set(cells)), dtype=str)
    if not 2 <= len(found) <= _MOST:
        raise RefusedError(
            f"--group: expected a column of 2 to {_MOST} groups, or of numbers. "
            f"Received: {column!r}, with {len(found):,} different values."
        )
    place = {name: i for i, name in enumerate(found.tolist())}
    return Groups(
        column, tuple(found.tolist()), np.array([place[cell] for cell in cells]), note
    )


def _quarters(cells: np.ndarray) -> tuple[np.ndarray, str]:
    """Cells as the quarter of the examples that they are in."""
    is_gap = cells == _GAP
    known = np.array([float(cell) for cell in cells[~is_gap]])
    edges = np.unique(np.quantile(known, (0.25, 0.5, 0.75)))
    place = np.searchsorted(edges, known, side="right")
    marks = [known.min(), *edges, known.max()]
    names = np.array(
        [
            f"{i + 1}: {low:g} to {high:g}"
            for i, (low, high) in enumerate(itertools.pairwise(marks))
        ],
        object,
    )
    found = cells.copy()
    found[~is_gap] = names[place]
    return found, "numbers, cut where a quarter of the examples ends"
