"""Which tensors of a converted model have the ranges that training has learned.

A converter gives tensors names of its own, and joins or leaves out operations. So they
are found by what is in them: on some examples each activation that was learned is
compared with each tensor. One may be a multiple of it: LiteRT's converter folds what
inputs are divided by into the kernel that follows.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from kerascale.errors import ExportRefusedError

# Of the largest number in a tensor: converters reorder sums.
_TOLERANCE = 1e-4


@dataclasses.dataclass(frozen=True)
class Learned:
    """Ranges of activations, and examples to find them by.

    Args:
        ranges: Name -> lowest and highest number of its grid.
        seen: Name -> what stands there in floats, for `inputs`.
        inputs: Examples by the names of the model's inputs.
    """

    ranges: Mapping[str, tuple[float, float]]
    seen: Mapping[str, np.ndarray]
    inputs: Mapping[str, np.ndarray]


def refuse_floats(learned: Learned, kernels: int) -> None:
    """Refuses a model in which fewer kernels are integer ones than were learned.

    Args:
        learned: What training has learned.
        kernels: Those that will be.
    """
    expected = sum(name.endswith(" outputs") for name in learned.ranges)
    if kernels < expected:
        raise ExportRefusedError(
            f"expected {expected} kernels between two grids. Received: {kernels}: the "
            "converter has made other operations of the rest"
        )


class JoinedError(ExportRefusedError):
    """Some of what was learned has no tensor of its own: operations were joined."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(
            "expected a tensor for each range that training has learned. Received: "
            f"none for {', '.join(names)}: the converter has joined operations there"
        )
        self.names = tuple(names)


def find(
    learned: Learned, tensors: Mapping[str, np.ndarray]
) -> dict[str, tuple[float, float]]:
    """The ranges of a converted model's tensors.

    Args:
        learned: What training has learned.
        tensors: Name -> value of each float tensor, for the same examples.

    Returns:
        Name -> range of those that were found.

    Raises:
        JoinedError: If some of what was learned is nowhere.
    """
    flat = {
        name: np.ascontiguousarray(value).reshape(-1) for name, value in tensors.items()
    }
    found: dict[str, tuple[float, float]] = {}
    missing = []
    for name, limits in learned.ranges.items():
        there = {
            tensor: factor
            for values in _layouts(learned.seen[name])
            for tensor, other in flat.items()
            if (factor := _factor(values, other))
        }
        if not there:
            missing.append(name)
        for tensor, factor in there.items():
            found.setdefault(tensor, (factor * limits[0], factor * limits[1]))
    if missing:
        raise JoinedError(missing)
    return found


def _layouts(values: np.ndarray) -> list[np.ndarray]:
    """As it is, and with channels first."""
    layouts = [values.reshape(-1)]
    if values.ndim > 2:
        moved = np.moveaxis(values, -1, 1)
        layouts.append(np.ascontiguousarray(moved).reshape(-1))
    return layouts


def _factor(values: np.ndarray, other: np.ndarray) -> float:
    """How many times the one the other is; 0 where it is none, or not positive."""
    squares = float(values @ values)
    if values.shape != other.shape or not squares:
        return 0.0
    factor = float(values @ other) / squares
    difference = np.abs(other - factor * values).max()
    if factor <= 0 or difference > _TOLERANCE * np.abs(other).max():
        return 0.0
    # Of equal numbers it is exact.
    return 1.0 if abs(factor - 1) < _TOLERANCE else factor
