"""In what units examples are changed: pixels from 0 to 1, or standard deviations."""

import dataclasses
from typing import Any

import numpy as np

from kerascale.datasets import Datasets
from kerascale.datasets.source import Source
from kerascale.errors import RefusedError
from kerascale.trust.attacks.ball import Ball, Norm, as_float

# The largest pixel of 8 bits.
_WHITE = 255


@dataclasses.dataclass(frozen=True)
class Units:
    """What an epsilon of 1 is, and the range of the numbers of an example.

    Args:
        name: For a person.
        scale: One unit, in the numbers that a model is given: a scalar; of vectors an
            array of the shape of an example.
        low: The smallest number, in the same; like `scale`.
        high: The largest.
    """

    name: str
    scale: Any
    low: Any
    high: Any

    def ball(self, norm: Norm, epsilon: Any) -> Ball:
        """The examples that are within `epsilon` of one."""
        return Ball(norm, epsilon, self.scale, self.low, self.high)

    def shown(self, x: np.ndarray) -> np.ndarray:
        """Numbers of pictures as pixels from 0 to 1."""
        return np.clip((x - self.low) / (self.high - self.low), 0.0, 1.0)


def problem_of(datasets: Datasets) -> str | None:
    """Why examples cannot be changed by a little; None: they can."""
    return problem_of_kind(datasets.info.kind)


def problem_of_kind(kind: str | None) -> str | None:
    """The same, by the kind of the data."""
    if kind in ("image", "vector"):
        return None
    received = {
        None: "tf.data, of which nothing is known",
        "table": "a table with words, dates or gaps",
    }.get(kind, "text")
    return f"expected pictures or vectors of numbers. Received: {received}"


def of(datasets: Datasets) -> Units:
    """The units of the examples of a data set.

    Pixels are 0 to 1: those of whole numbers from 0 to the largest of the training
    (255, or 16 of `digits`); others from 0 or -1 to 1 if they are all within that, else
    from the smallest to the largest of the training.
    A vector's units are the standard deviations of its features in the training, and
    its numbers may be those that a feature has there.

    Raises:
        RefusedError: If the examples are no pictures and no vectors.
    """
    problem = problem_of(datasets)
    if problem is not None:
        raise RefusedError(f"examples: {problem}.")
    is_whole = datasets.info.kind == "image" and datasets.info.dtype == "uint8"
    moments = _Moments()
    for batch in datasets.train.for_evaluation().dataset():
        moments.add(np.asarray(batch[0], np.float64))
        if is_whole and moments.high.max() == _WHITE:
            break  # No pixel is lighter.
    if datasets.info.kind == "vector":
        return Units(
            "standard deviations of each feature",
            moments.deviation,
            moments.low,
            moments.high,
        )
    low, high = float(moments.low.min()), float(moments.high.max())
    if is_whole:
        return Units("pixels from 0 to 1", high or 1.0, 0.0, high or 1.0)
    for known in ((0.0, 1.0), (-1.0, 1.0)):
        if known[0] <= low and high <= known[1]:
            low, high = known
            break
    return Units("pixels from 0 to 1", (high - low) or 1.0, low, high)


class _Moments:
    """Of each feature, over batches."""

    def __init__(self) -> None:
        self.low: Any = np.inf
        self.high: Any = -np.inf
        self._first: Any = None
        self._count, self._sum, self._squares = 0, 0.0, 0.0

    def add(self, x: np.ndarray) -> None:
        self.low = np.minimum(self.low, x.min(axis=0))
        self.high = np.maximum(self.high, x.max(axis=0))
        if self._first is None:  # Far from zero, squares would lose the digits.
            self._first = x[0]
        x = x - self._first
        self._count += len(x)
        self._sum = self._sum + x.sum(axis=0)
        self._squares = self._squares + (x**2).sum(axis=0)

    @property
    def deviation(self) -> np.ndarray:
        mean = self._sum / self._count
        variance = self._squares / self._count - mean**2
        # What rounding leaves of a feature that is always the same.
        same = self.low == self.high
        return np.where(same, 0.0, np.sqrt(np.maximum(variance, 0.0)))


def examples(source: Source, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first examples of a split, as floats, and their labels."""
    taken: list[tuple[np.ndarray, np.ndarray]] = []
    for batch in source.dataset():
        taken.append((as_float(batch[0]).numpy(), np.asarray(batch[1])))
        if sum(len(y) for _, y in taken) >= count:
            break
    x, y = (np.concatenate(each)[:count] for each in zip(*taken, strict=True))
    return x, y
