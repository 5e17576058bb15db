"""Rates of groups, their intervals, and whether chance makes such differences.

The rates and their differences are those of the library `fairlearn`. Intervals are
Wilson's ("Probable Inference", 1927), which hold for few examples and at 0 and 1 too.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from kerascale.trust.auditing.groups import Groups

_Z = 1.959964  # 95 %
_SHUFFLES = 1000
_DRAWS = 1000


def interval(count: int, total: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    if total == 0:
        return 0.0, 1.0
    share, z2 = count / total, _Z**2
    middle = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = _Z * np.sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    half /= 1 + z2 / total
    return float(max(0.0, middle - half)), float(min(1.0, middle + half))


def with_interval(hits: np.ndarray) -> list[float] | None:
    """A share and its interval; None where nobody was asked."""
    if not len(hits):
        return None
    return [float(hits.mean()), *interval(int(hits.sum()), len(hits))]


def bootstrap(
    function: Callable[[np.ndarray], np.ndarray], values: np.ndarray, seed: int
) -> list[float]:
    """A statistic of some examples, and a 95 % interval by drawing them again.

    Args:
        function: Takes values of shape (draws, examples), gives one of each draw.
        values: Of shape (examples,).
        seed: Of the draws.
    """
    generator = np.random.default_rng(seed)
    drawn = values[generator.integers(0, len(values), (_DRAWS, len(values)))]
    low, high = np.quantile(function(drawn), (0.025, 0.975))
    return [float(function(values[None])[0]), float(low), float(high)]


def differences(
    truth: np.ndarray, predicted: np.ndarray, groups: Groups, seed: int
) -> dict[str, dict[str, Any]]:
    """Differences between groups in two classes.

    Demographic parity is fairlearn's. Equalised odds are too, unless a group has no
    example of a class: the library then takes its rate for 0, which makes a difference
    of 1 for a model without a mistake. Here it has no such rate.

    Args:
        truth: Boolean of shape (examples,): who is of the positive class.
        predicted: Boolean: who is said to be.
        groups: Those with fewer than 20 examples are left out.
        seed: Of the shuffles.

    Returns:
        Name -> `value`; `p`, the share of shuffles of the groups that differ as much.
    """
    from fairlearn import metrics

    kept = np.isin(groups.of, groups.large)
    if len(groups.large) < 2:
        return {}
    truth, predicted, of = truth[kept], predicted[kept], groups.of[kept]

    def odds(of: np.ndarray) -> float:
        return max(gap(predicted[truth], of[truth]), gap(predicted[~truth], of[~truth]))

    parity, ratio = (
        float(function(truth, predicted, sensitive_features=of))
        for function in (
            metrics.demographic_parity_difference,
            metrics.demographic_parity_ratio,
        )
    )
    has_both = all(len(np.unique(truth[of == group])) == 2 for group in groups.large)
    odd = odds(of)
    if has_both:
        odd = float(
            metrics.equalized_odds_difference(truth, predicted, sensitive_features=of)
        )
    generator = np.random.default_rng(seed)
    shuffled = [generator.permutation(of) for _ in range(_SHUFFLES)]
    found: dict[str, dict[str, Any]] = {
        "demographic_parity_difference": {
            "value": parity,
            "p": _share(parity, (gap(predicted, each) for each in shuffled)),
        }
    }
    if np.isfinite(ratio):  # Nobody is said to be positive in any group.
        found["demographic_parity_ratio"] = {"value": ratio}
    found["equalized_odds_difference"] = {
        "value": odd,
        "p": _share(odd, map(odds, shuffled)),
    }
    return found


def _share(value: float, of_shuffles: Iterable[float]) -> float:
    as_much = sum(other >= value - 1e-12 for other in of_shuffles)
    return (as_much + 1) / (_SHUFFLES + 1)


def gap(hits: np.ndarray, of: np.ndarray) -> float:
    """The largest share of a group less the smallest one."""
    sizes = np.bincount(of)
    there = sizes > 0
    shares = np.bincount(of, weights=hits)[there] / sizes[there]
    return float(np.ptp(shares)) if len(shares) else 0.0


def chance_of_gap(values: np.ndarray, groups: Groups, seed: int) -> dict[str, Any]:
    """How much the means of groups differ, and how often chance makes as much of it.

    Args:
        values: Of shape (examples,): 1 for a right answer, or the size of an error.
        groups: Those with fewer than 20 examples are left out.
        seed: Of the shuffles.
    """
    kept = np.isin(groups.of, groups.large)
    if len(groups.large) < 2:
        return {}
    values, of = values[kept].astype(np.float64), groups.of[kept]
    value = gap(values, of)
    generator = np.random.default_rng(seed)
    others = (gap(values, generator.permutation(of)) for _ in range(_SHUFFLES))
    return {"value": value, "p": _share(value, others)}
