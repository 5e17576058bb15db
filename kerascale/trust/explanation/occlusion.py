"""Occlusion (Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks",
2014): what the answer loses when a window of the picture is covered."""

import numpy as np

from kerascale.trust.explanation.subject import Subject

# Windows along a side.
_WINDOWS = 14


def occlude(subject: Subject) -> np.ndarray:
    """What covering each pixel costs, averaged over the windows that cover it.

    Windows have a fifth of the picture's side, and overlap.

    Args:
        subject: Pictures.

    Returns:
        Of shape (examples, pixels).
    """
    height, width = subject.parts.number_of.shape
    windows = _windows(height, width)
    keep = np.ones((len(windows), height * width), bool)
    for place, (rows, columns) in enumerate(windows):
        keep[place].reshape(height, width)[rows, columns] = False
    covered = (~keep).sum(axis=0)
    found = np.empty((len(subject), height * width))
    for place in range(len(subject)):
        variants = subject.with_some(keep, subject.parts, place)
        scores = subject.scores(variants, np.full(len(keep), place))
        lost = subject.full[place] - scores
        found[place] = lost @ ~keep / covered
    return found


def _windows(height: int, width: int) -> list[tuple[slice, slice]]:
    rows, columns = _along(height), _along(width)
    return [(row, column) for row in rows for column in columns]


def _along(side: int) -> list[slice]:
    """Windows along a side, which reach from one end to the other."""
    size = max(1, round(side / 5))
    starts = np.unique(np.linspace(0, side - size, min(_WINDOWS, side)).astype(int))
    if len(starts) > 1 and np.diff(starts).max() > size:
        starts = np.arange(0, side - size + 1)
    return [slice(start, start + size) for start in starts.tolist()]
