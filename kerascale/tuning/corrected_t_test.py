"""Whether one recipe is better than another on the same folds.

Trainings of a cross-validation share most of their examples, so that their scores vary
less than they would on other data, and the usual t-test finds differences that are not
there. The variance is corrected by the share of examples that is tested on: Nadeau and
Bengio, "Inference for the Generalization Error", Machine Learning 52, 2003, section 3.
"""

import dataclasses
import math
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Tested:
    """What a test has found.

    Args:
        difference: The mean of the differences, the second minus the first.
        t: The statistic; infinite where all differences are the same.
        p: How likely so large a difference is between equals, on both sides.
    """

    difference: float
    t: float
    p: float


def test(first: Sequence[float], second: Sequence[float], ratio: float) -> Tested:
    """Compares the scores of two recipes, fold by fold.

    Args:
        first: One score for each fold, at least two of them.
        second: The same of the other, on the same folds.
        ratio: Examples that are tested on over those that are trained on.
    """
    differences = [b - a for a, b in zip(first, second, strict=True)]
    count = len(differences)
    mean = math.fsum(differences) / count
    variance = math.fsum((d - mean) ** 2 for d in differences) / (count - 1)
    if variance == 0:
        return Tested(
            mean, math.copysign(math.inf, mean) if mean else 0.0, float(not mean)
        )
    t = mean / math.sqrt((1 / count + ratio) * variance)
    return Tested(mean, t, both_sides(t, count - 1))


def both_sides(t: float, degrees: int) -> float:
    """The probability that Student's t is as far from 0.

    The sums for whole degrees of freedom are those of Abramowitz and Stegun, "Handbook
    of Mathematical Functions", 26.7.3 and 26.7.4.

    Args:
        t: The statistic.
        degrees: Degrees of freedom, at least 1.
    """
    angle = math.atan2(abs(t), math.sqrt(degrees))
    cosine = math.cos(angle)
    if degrees % 2:
        total, term = 0.0, cosine
        for k in range(1, (degrees + 1) // 2):
            total += term
            term *= cosine**2 * (2 * k) / (2 * k + 1)
        inside = 2 / math.pi * (angle + math.sin(angle) * total)
    else:
        total, term = 0.0, 1.0
        for k in range(1, degrees // 2 + 1):
            total += term
            term *= cosine**2 * (2 * k - 1) / (2 * k)
        inside = math.sin(angle) * total
    return min(1.0, max(0.0, 1.0 - inside))
