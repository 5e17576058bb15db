"""The final numbers of tasks other than one of several classes.

Areas under curves are exact, over all different scores, as in scikit-learn.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kerascale.datasets.info import DataInfo

# Points of a curve, and of a plot, that are kept for the page.
_CURVE_POINTS = 200
_PLOT_POINTS = 500


def binary(
    labels: np.ndarray, positive: np.ndarray, threshold: float
) -> dict[str, Any]:
    """What is known of two classes beside the counts of `evaluation.scores`.

    Args:
        labels: 0 and 1, of shape (examples,).
        positive: The probability of 1, of shape (examples,).
        threshold: From which on it is answered.
    """
    curves = _curves(labels, positive)
    return {
        "threshold": threshold,
        "auc": area_under_roc(labels, positive),
        "average_precision": average_precision(labels, positive),
        "curves": curves,
    }


def best_threshold(labels: np.ndarray, positive: np.ndarray) -> float:
    """The threshold with the largest F1 of the positive class.

    Halfway between two probabilities, so that rounding on another device moves no
    answer; 0.5 where there is no example of both classes.

    Args:
        labels: 0 and 1, of shape (examples,).
        positive: The probability of 1, of shape (examples,).
    """
    if len(np.unique(labels)) < 2:
        return 0.5
    values, true, taken = _at_thresholds(labels, positive)
    f1 = 2 * true / (taken + labels.sum())
    best = int(np.argmax(f1))
    below = values[best + 1] if best + 1 < len(values) else 0.0
    return float((np.float64(values[best]) + np.float64(below)) / 2)


def _at_thresholds(
    labels: np.ndarray, scores: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Different scores in falling order; positives, and examples, from each on up."""
    order = np.argsort(-scores, kind="stable")
    ordered, hits = scores[order], labels[order].astype(np.int64)
    last = np.flatnonzero(np.append(np.diff(ordered) != 0, True))
    return ordered[last], np.cumsum(hits)[last], last + 1


def area_under_roc(labels: np.ndarray, scores: np.ndarray) -> float | None:
    """The share of pairs of a positive and a negative that are in order; ties are half.

    None where one of them is missing.
    """
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        return None
    _, true, taken = _at_thresholds(labels, scores)
    true, false = np.append(0, true), np.append(0, taken - true)
    area = np.sum(np.diff(false) * (true[1:] + true[:-1]) / 2)
    return float(area / (positives * negatives))


def average_precision(labels: np.ndarray, scores: np.ndarray) -> float | None:
    """Precision, averaged over the steps of recall; None without positives."""
    positives = int(labels.sum())
    if not positives:
        return None
    _, true, taken = _at_thresholds(labels, scores)
    steps = np.diff(np.append(0, true)) / positives
    return float(np.sum(steps * true / taken))


def _curves(labels: np.ndarray, scores: np.ndarray) -> dict[str, list[float]]:
    """Points of the ROC curve and of the precision-recall curve, for the page."""
    positives = max(1, int(labels.sum()))
    negatives = max(1, len(labels) - int(labels.sum()))
    values, true, taken = _at_thresholds(labels, scores)
    places = np.unique(np.linspace(0, len(values) - 1, _CURVE_POINTS).astype(int))
    true, taken = true[places], taken[places]
    return {
        "thresholds": _rounded(values[places]),
        "true_positive_rate": _rounded(true / positives),
        "false_positive_rate": _rounded((taken - true) / negatives),
        "precision": _rounded(true / taken),
    }


def ordinal(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, Any]:
    """Distances between ranks, beside the counts of `evaluation.scores`.

    `mae`: mean distance of the predicted median from the true rank. `kappa`: Cohen's
    kappa with quadratic weights ("Weighted kappa", 1968), of the same.

    Args:
        labels: Ranks, integers of shape (examples,).
        probabilities: Of shape (examples, ranks).
    """
    median = (np.cumsum(probabilities, axis=-1) < 0.5).sum(axis=-1)
    median = np.minimum(median, probabilities.shape[-1] - 1)
    found = np.mean((median - labels) ** 2.0)
    ranks = np.arange(probabilities.shape[-1])
    shares = [np.bincount(each, minlength=len(ranks)) for each in (labels, median)]
    squares = (ranks[:, None] - ranks) ** 2.0
    chance = np.sum(np.outer(*shares) * squares) / len(labels) ** 2
    return {
        "mae": float(np.mean(np.abs(median - labels))),
        "kappa": float(1 - found / chance) if chance else 1.0,
    }


def multilabel(
    labels: np.ndarray, probabilities: np.ndarray, names: Sequence[str]
) -> dict[str, Any]:
    """The numbers of several labels, each answered from a probability of 0.5 on.

    Returns:
        `loss` in nats per label, `accuracy` of single labels, `exact_match`: share of
        examples with all labels right, `precision`, `recall`, `f1`, `auc` and
        `average_precision`: means over labels, `examples`, and `per_label`.
    """
    labels = labels.astype(np.int64)
    predicted = probabilities >= 0.5
    per_label = {}
    for place, name in enumerate(names):
        own, taken = labels[:, place], predicted[:, place]
        hits = int((own & taken).sum())
        total, count = int(own.sum()), int(taken.sum())
        per_label[name] = {
            "precision": hits / count if count else 0.0,
            "recall": hits / total if total else 0.0,
            "f1": 2 * hits / (total + count) if total + count else 0.0,
            "auc": area_under_roc(own, probabilities[:, place]),
            "average_precision": average_precision(own, probabilities[:, place]),
            "examples": total,
        }
    right = predicted == labels
    smallest = np.finfo(np.float32).tiny
    given = np.where(labels == 1, probabilities, 1 - probabilities.astype(np.float64))
    means = ("precision", "recall", "f1", "auc", "average_precision")
    return {
        "loss": float(-np.log(np.maximum(given, smallest)).mean()),
        "accuracy": float(right.mean()),
        "exact_match": float(right.all(axis=1).mean()),
        **{name: _mean(row[name] for row in per_label.values()) for name in means},
        "examples": len(labels),
        "per_label": per_label,
    }


def _mean(values: Any) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def regression(
    labels: np.ndarray,
    outputs: np.ndarray,
    info: DataInfo,
) -> dict[str, Any]:
    """The numbers of a regression, in the units of its targets.

    Args:
        labels: Of shape (examples, targets).
        outputs: Of the same shape.
        info: Names of the targets, and the loss in which they were trained.

    Returns:
        `loss`, and the means over targets of `mae`, `rmse` and `r2`, as scikit-learn
        has them; `examples`, `per_target` where there are several, and `points`: some
        examples with what is true and what is predicted.
    """
    names = info.target_names
    labels, outputs = labels.astype(np.float64), outputs.astype(np.float64)
    errors = outputs - labels
    spread = np.square(labels - labels.mean(axis=0)).sum(axis=0)
    squares = np.square(errors).sum(axis=0)
    r2 = np.where(spread > 0, 1 - squares / np.where(spread > 0, spread, 1), 0.0)
    found: Mapping[str, np.ndarray] = {
        "mae": np.abs(errors).mean(axis=0),
        "rmse": np.sqrt(squares / len(labels)),
        "r2": r2,
    }
    per_target = {
        name: {metric: float(values[place]) for metric, values in found.items()}
        for place, name in enumerate(names)
    }
    places = np.linspace(0, len(labels) - 1, min(len(labels), _PLOT_POINTS)).astype(int)
    return {
        "loss": _loss(labels, outputs, info),
        **{metric: float(values.mean()) for metric, values in found.items()},
        "examples": len(labels),
        **({"per_target": per_target} if len(names) > 1 else {}),
        "points": {
            name: {
                "true": _rounded(labels[places, place]),
                "predicted": _rounded(outputs[places, place]),
            }
            for place, name in enumerate(names)
        },
    }


def _loss(labels: np.ndarray, outputs: np.ndarray, info: DataInfo) -> float:
    """As `kerascale.optimizers.task_losses` has it."""
    if info.target_loss != "poisson":
        return float(np.square((outputs - labels) / info.target_scale).mean())
    true, given = labels / info.target_mean, outputs / info.target_mean
    logarithm = np.log(np.where(true > 0, true, 1.0))
    return float(2 * (true * (logarithm - np.log(given)) - true + given).mean())


def _rounded(values: np.ndarray) -> list[float]:
    """Six digits, which is more than a page can show."""
    return [float(f"{value:.6g}") for value in values]
