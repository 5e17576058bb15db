"""Whether new data is like the training data: column by column, and in the answers."""

import dataclasses
from typing import Any

import numpy as np

_SIGNIFICANT = 0.05
_QUANTILES = 10
# By convention: below 0.1 little has changed, above 0.25 much.
NOTABLE, LARGE = 0.1, 0.25


@dataclasses.dataclass(frozen=True)
class Drift:
    """One column, or one output, in the training and in the new data.

    Args:
        name: What is compared.
        kind: `number`, `date` (days since 1970) or `category`.
        psi: Population stability index: how large the change is.
        p: Of a test for any change at all.
        is_found: Whether it is one, with 5 % false ones among those that are found.
        then: The mean in the training, or the most frequent value.
        now: The same in the new data.
    """

    name: str
    kind: str
    psi: float
    p: float
    is_found: bool
    then: str
    now: str

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def compare(
    old: dict[str, tuple[str, np.ndarray]], new: dict[str, tuple[str, np.ndarray]]
) -> list[Drift]:
    """Compares columns, the largest change first.

    Numbers by Kolmogorov and Smirnov's test, categories by a chi-square test;
    which of them are found is decided for all together (Benjamini and Hochberg,
    1995).

    Args:
        old: Name -> kind and values of the training; NaN is a gap.
        new: The same of the new data.
    """
    raw = [
        _one(name, kind, old[name][1], new[name][1]) for name, (kind, _) in old.items()
    ]
    found = _discoveries(np.array([each.p for each in raw]))
    marked = [
        dataclasses.replace(each, is_found=bool(is_found))
        for each, is_found in zip(raw, found, strict=True)
    ]
    return sorted(marked, key=lambda each: -each.psi)


def _one(name: str, kind: str, old: np.ndarray, new: np.ndarray) -> Drift:
    if kind == "category":
        return _of_category(name, old, new)
    return _of_number(name, kind, old, new)


def _of_category(name: str, old: np.ndarray, new: np.ndarray) -> Drift:
    from scipy import stats

    values = np.unique(np.concatenate([old, new]))
    counts = [np.array([(each == v).sum() for v in values]) for each in (old, new)]
    p = 1.0
    if len(values) > 1:
        p = float(stats.chi2_contingency(np.stack(counts)).pvalue)
    most = [str(values[each.argmax()]) for each in counts]
    return Drift(name, "category", _psi(*counts), p, False, *most)


def _of_number(name: str, kind: str, old: np.ndarray, new: np.ndarray) -> Drift:
    from scipy import stats

    known = [each[~np.isnan(each)] for each in (old, new)]
    gaps = [int(np.isnan(each).sum()) for each in (old, new)]
    p = 1.0
    if all(map(len, known)):
        p = float(stats.ks_2samp(*known).pvalue)
    if sum(gaps):
        table = np.array([[g, len(k)] for g, k in zip(gaps, known, strict=True)])
        p = min(1.0, 2 * min(p, float(stats.fisher_exact(table).pvalue)))
    # A column of gaps alone has no quantiles.
    shares = np.linspace(0, 1, _QUANTILES + 1)[1:-1]
    edges = np.unique(np.quantile(known[0], shares)) if len(known[0]) else np.empty(0)
    counts = []
    for values, missing in zip(known, gaps, strict=True):
        places = np.searchsorted(edges, values, side="right")
        counts.append(np.append(np.bincount(places, minlength=len(edges) + 1), missing))
    means = [_shown(each.mean(), kind) if len(each) else "none" for each in known]
    return Drift(name, kind, _psi(*counts), p, False, *means)


def _shown(mean: float, kind: str) -> str:
    if kind == "date":
        return str(np.datetime64(0, "D") + np.timedelta64(round(mean), "D"))
    return f"{mean:.4g}"


def _psi(then: np.ndarray, now: np.ndarray) -> float:
    """Population stability index; half an example in empty places."""
    shares = []
    for counts in (then, now):
        filled = np.maximum(counts, 0.5)
        shares.append(filled / filled.sum())
    return float(np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0])))


def _discoveries(p: np.ndarray) -> np.ndarray:
    order = np.argsort(p)
    limits = _SIGNIFICANT * np.arange(1, len(p) + 1) / len(p)
    below = np.flatnonzero(p[order] <= limits)
    found = np.zeros(len(p), bool)
    if len(below):
        found[order[: below[-1] + 1]] = True
    return found


def copies(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Which new rows are training rows, number by number: boolean of shape (rows,)."""
    known = {row.tobytes() for row in np.ascontiguousarray(old)}
    return np.array([row.tobytes() in known for row in np.ascontiguousarray(new)])


def told_apart(old: np.ndarray, new: np.ndarray, seed: int) -> float:
    """How well a model tells training from new rows: area under its ROC curve.

    0.5: not at all; 1: each of them. It sees changes that no column shows by itself
    (Lopez-Paz and Oquab, "Revisiting Classifier Two-Sample Tests", 2017).

    Args:
        old: Of shape (rows, numbers); NaN is a gap.
        new: Of shape (rows, numbers).
        seed: Of the folds and the trees.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from threadpoolctl import threadpool_limits

    x = np.concatenate([old, new])
    y = np.repeat([0, 1], [len(old), len(new)])
    model = HistGradientBoostingClassifier(max_iter=30, random_state=seed)
    folds = StratifiedKFold(3, shuffle=True, random_state=seed)
    # Its threads wait by spinning: beside TensorFlow's they take far longer.
    with threadpool_limits(limits=1, user_api="openmp"):
        scores = cross_val_score(model, x, y, cv=folds, scoring="roc_auc")
    return float(scores.mean())
