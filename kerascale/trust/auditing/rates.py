"""Rates of groups, their intervals, and whether chance makes such differences.

The rates and their differences are those of the library `fairlearn`. Intervals are
Wilson's ("Probable Inference", 1927), which hold for few examples and at 0 and 1 too.
"""

from collections.abc import Callable
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
    """Differences between groups in two classes, by fairlearn.

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
    functions = {
        "demographic_parity_difference": metrics.demographic_parity_difference,
        "demographic_parity_ratio": metrics.demographic_parity_ratio,
        "equalized_odds_difference": metrics.equalized_odds_difference,
    }
    found = {
        name: {"value": float(function(truth, predicted, sensitive_features=of))}
        for name, function in functions.items()
    }
    generator = np.random.default_rng(seed)
    shuffled = [generator.permutation(of) for _ in range(_SHUFFLES)]
    own = {
        "demographic_parity_difference": lambda of: gap(predicted, of),
        "equalized_odds_difference": lambda of: max(
            gap(predicted[truth], of[truth]), gap(predicted[~truth], of[~truth])
        ),
    }
    for name, function in own.items():
        value = found[name]["value"]
        as_much = sum(function(each) >= value - 1e-12 for each in shuffled)
        found[name]["p"] = (as_much + 1) / (_SHUFFLES + 1)
    return found


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
    as_much = sum(
        gap(values, generator.permutation(of)) >= value - 1e-12
        for _ in range(_SHUFFLES)
    )
    return {"value": value, "p": (as_much + 1) / (_SHUFFLES + 1)}
