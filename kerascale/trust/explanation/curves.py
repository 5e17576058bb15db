"""Deletion and insertion (Petsiuk, Das and Saenko, "RISE", 2018): what an explanation
is worth.

Parts are taken away, or put onto the baseline, in the order that an explanation gives
them. A good one makes the answer fall, or rise, with few of them.
"""

import dataclasses

import numpy as np

from kerascale.trust.explanation.subject import Subject

_POINTS = 20
_DRAWS = 2000


@dataclasses.dataclass(frozen=True)
class Curves:
    """What the answer is after each share of the parts.

    Args:
        shares: Of the parts, from 0 to 1.
        deletion: Mean over examples, with this share taken away.
        insertion: Mean over examples, with this share put onto the baseline.
        deletion_areas: Of each example.
        insertion_areas: Of each example.
    """

    shares: np.ndarray
    deletion: np.ndarray
    insertion: np.ndarray
    deletion_areas: np.ndarray
    insertion_areas: np.ndarray

    @property
    def gain(self) -> np.ndarray:
        """Of each example, the area of insertion less that of deletion."""
        return self.insertion_areas - self.deletion_areas


def measure(subject: Subject, values: np.ndarray) -> Curves:
    """The curves of an explanation.

    Of a regression, whose numbers have no floor, parts go by the size of what was
    found, and a curve is minus the distance from the answer for the whole example, in
    deviations of the target.

    Args:
        subject: The examples.
        values: Attributions of shape (examples, parts).
    """
    shares = np.linspace(0, 1, _POINTS + 1)
    deletion = np.empty((len(subject), len(shares)))
    insertion = np.empty_like(deletion)
    for place in range(len(subject)):
        there = np.flatnonzero(subject.valid[place])
        found = values[place, there]
        if subject.is_regression:
            found = np.abs(found)
        order = there[np.argsort(-found, kind="stable")]
        taken = np.zeros((len(shares), subject.parts.count), bool)
        for row, share in enumerate(shares):
            taken[row, order[: round(share * len(order))]] = True
        keep = np.concatenate([~taken, taken])
        variants = subject.with_some(keep, subject.parts, place)
        scores = subject.scores(variants, np.full(len(keep), place))
        if subject.is_regression:
            scores = -np.abs(scores - subject.full[place]) / subject.scale
        deletion[place], insertion[place] = np.split(scores, 2)
    return Curves(
        shares,
        deletion.mean(axis=0),
        insertion.mean(axis=0),
        np.trapezoid(deletion, shares, axis=1),
        np.trapezoid(insertion, shares, axis=1),
    )


def by_chance(subject: Subject, *, seed: int) -> Curves:
    """The curves of parts in a random order, which an explanation must beat."""
    generator = np.random.default_rng([seed, 1])
    draws = [
        measure(subject, generator.random((len(subject), subject.parts.count)))
        for _ in range(3)
    ]
    return Curves(
        draws[0].shares,
        *(
            np.mean([getattr(draw, name) for draw in draws], axis=0)
            for name in (
                "deletion",
                "insertion",
                "deletion_areas",
                "insertion_areas",
            )
        ),
    )


def better_by(
    curves: Curves, chance: Curves, *, seed: int
) -> tuple[float, float, float]:
    """How much more area an explanation gains than a random order does.

    Returns:
        The mean over examples, and a 95 % interval of it (bootstrap over examples).
    """
    difference = curves.gain - chance.gain
    generator = np.random.default_rng([seed, 2])
    picked = generator.integers(0, len(difference), (_DRAWS, len(difference)))
    low, high = np.quantile(difference[picked].mean(axis=1), (0.025, 0.975))
    return float(difference.mean()), float(low), float(high)
