"""Derivatives of a function by differences, compared with a gradient.

Along a direction the central difference is `(f(x + h v) - f(x - h v)) / 2h`. It is
wrong by about `h^2`, and by the rounding of `f` over `h`. Where a ReLU bends between
both points it says something else; it does not with a smaller `h`, and an error stays.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from kerascale.trust.gradients.report import Element, Verdict

# f at a point that is moved by an array, of the shape of what is moved.
Moved = Callable[[np.ndarray], float]

# Directions for each gradient. A gradient that is off by e passes one of them if its
# difference along it is below a part d of |e|, which has the probability 0.8 d.
DIRECTIONS = 4
# Elements beside, of which one is that with the largest gradient.
ELEMENTS = 3
# Steps of the difference after the first: the smaller, the fewer kinks.
_SMALLER = (0.1, 0.01, 0.001)
# A direction's length, in elements: more would bend more ReLUs.
_LENGTH = 10.0


@dataclasses.dataclass(frozen=True)
class Precision:
    """How exactly a function is computed.

    Args:
        epsilon: Relative rounding of its values.
    """

    epsilon: float

    @property
    def step(self) -> float:
        return self.epsilon ** (1 / 3)

    @property
    def tolerance(self) -> float:
        """Of relative differences."""
        return max(1e-5, 3 * self.epsilon ** (1 / 3))

    def rounding(self, value: float, step: float) -> float:
        """Of a difference over `step`, of a function that is about `value`."""
        return 20 * self.epsilon * max(abs(value), 1e-3) / step


@dataclasses.dataclass(frozen=True)
class Compared:
    """Derivatives along one direction.

    Args:
        automatic: By the gradient.
        numeric: By differences.
        verdict: See `Row`; `zero`: both are.
        error: Relative difference.
    """

    automatic: float
    numeric: float
    verdict: Verdict
    error: float


def compare(
    moved: Moved,
    gradient: np.ndarray,
    direction: np.ndarray,
    value: float,
    precision: Precision,
) -> Compared:
    """Compares a gradient with differences along one direction.

    Args:
        moved: The function.
        gradient: At its point, of the shape of what is moved.
        direction: Of the same shape.
        value: The function at its point.
        precision: Of the function.
    """
    automatic = float(np.sum(gradient * direction))
    size = float(np.max(np.abs(direction), initial=0.0)) or 1.0
    first = None
    for i, share in enumerate((1.0, *_SMALLER)):
        step = precision.step * share / size
        right = moved(direction * step)
        left = moved(-direction * step)
        numeric = (right - left) / (2 * step)
        rounding = precision.rounding(value, step)
        scale = max(abs(automatic), abs(numeric))
        if i and rounding > 0.1 * scale:
            break  # Nothing can be seen below rounding.
        difference = abs(automatic - numeric)
        error = difference / scale if scale else 0.0
        if not math.isfinite(numeric) or not math.isfinite(automatic):
            return Compared(automatic, numeric, "wrong", math.inf)
        if difference <= precision.tolerance * scale + rounding:
            verdict: Verdict = "right" if i == 0 else "kink"
            if scale <= rounding:
                verdict, error = "zero", 0.0
            return Compared(automatic, numeric, verdict, min(error, 1.0))
        found = Compared(automatic, numeric, "wrong", error)
        first = first or found
        sides = (right - value) / step, (value - left) / step
        if _is_between(automatic, *sides, precision, rounding):
            return dataclasses.replace(found, verdict="kink", error=0.0)
    return first


def _is_between(
    automatic: float, right: float, left: float, precision: Precision, rounding: float
) -> bool:
    """Whether it is one of the slopes of a kink that the point itself lies on."""
    low, high = min(right, left), max(right, left)
    slack = precision.tolerance * max(abs(low), abs(high)) + 2 * rounding
    bends = high - low > 100 * slack
    return bends and low - slack <= automatic <= high + slack


def directions(
    shape: tuple[int, ...], count: int, random: np.random.Generator
) -> list[np.ndarray]:
    """Random directions of what has this shape, each a sign away from no other."""
    size = max(1, math.prod(shape))
    length = min(1.0, _LENGTH / math.sqrt(size))
    return [random.normal(size=shape) * length for _ in range(count)]


def elements(
    gradient: np.ndarray, count: int, random: np.random.Generator
) -> list[tuple[int, ...]]:
    """Indices of the element with the largest gradient, and of others at random."""
    if not gradient.size:
        return []
    places = [int(np.argmax(np.abs(gradient)))]
    places += [int(i) for i in random.integers(0, gradient.size, count - 1)]
    unique = list(dict.fromkeys(places))
    return [tuple(map(int, np.unravel_index(i, gradient.shape))) for i in unique]


def at(
    moved: Moved,
    gradient: np.ndarray,
    index: tuple[int, ...],
    value: float,
    precision: Precision,
) -> tuple[Element, Compared]:
    """Compares one element."""
    direction = np.zeros(gradient.shape)
    direction[index] = 1.0
    found = compare(moved, gradient, direction, value, precision)
    return Element(index, found.automatic, found.numeric), found


def worst_of(
    moved: Moved,
    gradient: np.ndarray,
    value: float,
    precision: Precision,
    random: np.random.Generator,
) -> tuple[int, ...]:
    """An element that is wrong, of a gradient that is: half by half.

    In each turn the half is kept whose difference along a random direction is larger.
    """
    places = np.arange(gradient.size)
    while len(places) > 1:
        halves = np.array_split(places, 2)
        found = []
        for half in halves:
            direction = np.zeros(gradient.size)
            direction[half] = random.normal(size=len(half)) / math.sqrt(len(half))
            direction = direction.reshape(gradient.shape)
            compared = compare(moved, gradient, direction, value, precision)
            wrong = compared.verdict == "wrong"
            found.append(abs(compared.automatic - compared.numeric) if wrong else 0.0)
        places = halves[int(np.argmax(found))]
    place = int(places[0]) if len(places) else 0
    return tuple(map(int, np.unravel_index(place, gradient.shape)))
