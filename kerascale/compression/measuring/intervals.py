"""How sure a difference is that was measured on so many examples."""

import math

import numpy as np

# 95 %, both sides.
_Z = 1.959964


def wilson(right: int, count: int) -> tuple[float, float]:
    """The interval of a share (Wilson 1927), for 95 %."""
    if not count:
        return 0.0, 1.0
    share = right / count
    middle = (share + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    half = math.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2))
    half *= _Z / (1 + _Z**2 / count)
    return middle - half, middle + half


def drop_of_shares(before: np.ndarray, now: np.ndarray) -> tuple[float, float]:
    """The interval of how much a share of right answers fell on the same examples.

    Newcombe's method 10 (Statistics in Medicine 17, 1998), which takes the answers in
    pairs. It is wider than nothing also where not one answer changed.

    Args:
        before: Whether each answer was right, booleans of shape (examples,).
        now: The same of the other model.

    Returns:
        The least and the largest drop, for 95 %.
    """
    count = len(before)
    p1, p2 = before.mean(), now.mean()
    low1, high1 = wilson(int(before.sum()), count)
    low2, high2 = wilson(int(now.sum()), count)
    a, d = np.sum(before & now), np.sum(~before & ~now)
    b, c = np.sum(before & ~now), np.sum(~before & now)
    product = float((a + b) * (c + d) * (a + c) * (b + d))
    numerator = float(a * d - b * c)
    if numerator > 0:
        numerator = max(numerator - count / 2, 0)
    phi = numerator / math.sqrt(product) if product else 0.0
    difference = float(p1 - p2)

    def half(first: float, second: float) -> float:
        square = first**2 - 2 * phi * first * second + second**2
        return math.sqrt(max(square, 0.0))

    return (
        difference - half(p1 - low1, high2 - p2),
        difference + half(high1 - p1, p2 - low2),
    )


def mean_of(differences: np.ndarray) -> tuple[float, float]:
    """The interval of a mean, for 95 %, of values that do not depend on each other.

    Args:
        differences: Of shape (values,): those of windows, not of the tokens in them.
    """
    mean = float(differences.mean())
    if len(differences) < 2:
        return -math.inf, math.inf
    half = _Z * float(differences.std(ddof=1)) / math.sqrt(len(differences))
    return mean - half, mean + half
