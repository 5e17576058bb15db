"""What a compressed regression's answers are worth, beside those of the original."""

from typing import Any

import numpy as np

from kerascale.compression.measuring import intervals
from kerascale.datasets.info import DataInfo

# In deviations of its target: an answer that moved by less is the same.
SAME = 0.01


def score(
    answers: np.ndarray, original: np.ndarray, labels: np.ndarray, info: DataInfo
) -> dict[str, Any]:
    """The numbers of a rung.

    Args:
        answers: In the units of the targets, of shape (examples, targets).
        original: Those of the trained model.
        labels: What is right, of the same shape.
        info: Names and deviations of the targets.

    Returns:
        `r2`, `rmse` and `mae` (means over the targets), `agreement` (share of answers
        that moved by less than a hundredth of their target's deviation), `drop` (of
        R2) with its 95 % interval `drop_interval`, `largest_change` (in deviations);
        of several targets `target_drops` (of R2).
    """
    squares, before = np.square(answers - labels), np.square(original - labels)
    spread = np.square(labels - labels.mean(axis=0)).mean(axis=0)
    # As in the final numbers of a run: a target of one value has no R2.
    varied = np.where(spread > 0, spread, np.inf)
    lost = (squares - before) / varied
    r2 = np.where(spread > 0, 1 - squares.mean(axis=0) / varied, 0.0)
    moved = changes(answers, original, info)
    drops = lost.mean(axis=0)
    result = {
        "r2": float(r2.mean()),
        "rmse": float(np.sqrt(squares.mean(axis=0)).mean()),
        "mae": float(np.abs(answers - labels).mean()),
        "agreement": float((moved < SAME).mean()),
        "largest_change": float(moved.max()),
        "drop": float(drops.mean()),
        "drop_interval": list(intervals.mean_of(lost.mean(axis=1))),
    }
    if len(info.target_names) > 1:
        each = zip(info.target_names, drops.tolist(), strict=True)
        result["target_drops"] = dict(each)
    return result


def changes(answers: np.ndarray, original: np.ndarray, info: DataInfo) -> np.ndarray:
    """How far each answer moved, in deviations of its target."""
    return np.abs(answers - original) / np.asarray(info.target_scale)
