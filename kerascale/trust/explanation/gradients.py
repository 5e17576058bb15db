"""Integrated gradients (Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep
Networks", 2017)."""

import dataclasses

import numpy as np

from kerascale.trust.explanation.subject import Subject

_FIRST_STEPS = 32
_MOST_STEPS = 512
# Of what the numbers differ from the baseline's, on average: good enough to stop.
_TOLERANCE = 0.01


@dataclasses.dataclass(frozen=True)
class Integrated:
    """Attributions, and how far their sums are from what they must be.

    Args:
        values: Of shape (examples, parts).
        steps: Points of the path.
        errors: Of each example: the sum less (its number - that of its baseline).
        relative_error: The mean size of the errors, in mean sizes of the difference.
    """

    values: np.ndarray
    steps: int
    errors: np.ndarray
    relative_error: float


def integrate(subject: Subject, *, steps: int | None = None) -> Integrated:
    """The gradient along the straight line from the baseline, times its length.

    The integral is the mean over midpoints. By completeness the attributions of an
    example sum up to what its number differs from the baseline's: the error tells
    whether the points were enough.

    Args:
        subject: The examples.
        steps: Points; None: 32, and twice as many until the error is below 1 % or there
            are 512.
    """
    wanted = subject.full - subject.empty
    count = steps or _FIRST_STEPS
    while True:
        values = subject.parts.sums(_path_mean(subject, count))
        errors = values.sum(axis=1) - wanted
        size = np.abs(wanted).mean()
        relative = float(np.abs(errors).mean() / size) if size else 0.0
        if steps is not None or relative <= _TOLERANCE or count >= _MOST_STEPS:
            return Integrated(values, count, errors, relative)
        count *= 2


def _path_mean(subject: Subject, steps: int) -> np.ndarray:
    """Gradients times lengths, of the shape of the embedded examples."""
    difference = subject.embedded - subject.baseline
    total = np.zeros(difference.shape, np.float64)
    points = ((np.arange(steps) + 0.5) / steps).astype(np.float32)
    for place in range(len(subject)):
        shares = points.reshape(-1, *[1] * (difference.ndim - 1))
        path = subject.baseline[place] + shares * difference[place]
        found = subject.gradients(path, np.full(steps, place))
        total[place] = found.mean(axis=0, dtype=np.float64)
    return total * difference
