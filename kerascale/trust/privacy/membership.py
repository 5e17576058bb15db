"""Whether a model tells who was in its training data: the simplest attack.

The loss of an example says whether it was trained on: that of members is smaller
(Yeom et al. 2018, "Privacy risk in machine learning"). What it finds is there; what it
does not find may be found by a stronger attack.
"""

import dataclasses
import math
from typing import Any

import numpy as np

from kerascale.errors import RefusedError
from kerascale.reporting import mistakes
from kerascale.runs.run import Run
from kerascale.training import evaluation

# At which share of strangers that are taken for members the others are counted:
# Carlini et al. 2022, "Membership inference attacks from first principles".
_FEW = 0.01
_FEWEST = 50
_TASKS = ("classification", "binary", "ordinal")


@dataclasses.dataclass(frozen=True)
class Membership:
    """How well members are told from strangers by their loss.

    Args:
        auc: Chance that a member has a smaller loss than a stranger; 0.5 is guessing.
        auc_interval: 95 % of it, by its standard error (Hanley and McNeil 1982).
        advantage: The largest difference of true and false positive rates.
        true_positives_at_few: True positive rate where 1 % are false.
        members: Training examples that were asked for.
        strangers: Examples of the test, or validation, split.
        train_loss: Mean loss of members.
        test_loss: Mean loss of strangers.
        epsilon: What the training has cost, if it was private.
        delta: Of that.
        most_advantage: What epsilon and delta allow any attack; None: anything.
    """

    auc: float
    auc_interval: tuple[float, float]
    advantage: float
    true_positives_at_few: float
    members: int
    strangers: int
    train_loss: float
    test_loss: float
    epsilon: float | None = None
    delta: float | None = None
    most_advantage: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return dataclasses.asdict(self)


def membership_attack(run: Run, *, examples: int = 10_000, seed: int = 0) -> Membership:
    """Attacks a finished run with its own training and test examples.

    Args:
        run: Of a classifier, with its data as it was.
        examples: At most so many members, and so many strangers.
        seed: Which of them.

    Raises:
        RefusedError: If the run has no classes, or too few examples.

    Example:

    ```python
    from kerascale.trust.privacy import membership_attack
    print(membership_attack(ks.load_run("runs/cnn/1")).advantage)
    ```
    """
    problems = []
    if run.info.task not in _TASKS or not run.info.num_outputs:
        problems.append(
            "run: expected one that tells classes, whose loss is known of each "
            f"example. Received: {run.info.task}, {run.info.kind} data."
        )
    if type(examples) is not int or examples < _FEWEST:
        problems.append(
            f"examples: expected at least {_FEWEST}. Received: {examples!r}."
        )
    if problems:
        raise RefusedError(problems, heading="membership")
    datasets = mistakes.read_again(run)
    strangers = datasets.test or datasets.validation
    if strangers is None:
        raise RefusedError(
            "data: expected examples that were not trained on. Received: neither test "
            "nor validation examples."
        )
    rng = np.random.default_rng(seed)
    inside = _some(_losses(run, datasets.train), examples, rng)
    outside = _some(_losses(run, strangers), examples, rng)
    if min(len(inside), len(outside)) < _FEWEST:
        raise RefusedError(
            f"data: expected at least {_FEWEST} training and test examples. Received: "
            f"{len(inside)} and {len(outside)}."
        )
    return _found(inside, outside, run.metrics)


def _losses(run: Run, source: Any) -> np.ndarray:
    labels, outputs = evaluation.answers(run.model, source.for_evaluation(), run.info)
    rows = np.arange(len(labels))
    chosen = outputs[rows, labels.reshape(-1).astype(np.int64)].astype(np.float64)
    return -np.log(np.clip(chosen, 1e-30, 1.0))


def _some(values: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    if len(values) <= most:
        return values
    return rng.choice(values, most, replace=False)


def _found(
    inside: np.ndarray, outside: np.ndarray, metrics: dict[str, Any]
) -> Membership:
    thresholds = np.unique(np.concatenate([inside, outside]))
    hits = np.searchsorted(np.sort(inside), thresholds, side="right") / len(inside)
    false = np.searchsorted(np.sort(outside), thresholds, side="right") / len(outside)
    hits, false = np.r_[0.0, hits], np.r_[0.0, false]
    auc = float(np.trapezoid(hits, false))
    few = hits[false <= _FEW].max()
    epsilon, delta = metrics.get("epsilon"), metrics.get("delta")
    most = None
    if epsilon is not None and math.isfinite(epsilon):
        # Kairouz et al. 2015: the largest sum of rates under (epsilon, delta).
        most = min(1.0, math.tanh(epsilon / 2) + 2 * delta / (math.exp(epsilon) + 1))
    return Membership(
        auc=auc,
        auc_interval=_interval(auc, len(inside), len(outside)),
        advantage=float((hits - false).max()),
        true_positives_at_few=float(few),
        members=len(inside),
        strangers=len(outside),
        train_loss=float(inside.mean()),
        test_loss=float(outside.mean()),
        epsilon=epsilon,
        delta=delta,
        most_advantage=most,
    )


def _interval(auc: float, n: int, m: int) -> tuple[float, float]:
    first, second = auc / (2 - auc), 2 * auc * auc / (1 + auc)
    square = auc * (1 - auc) + (n - 1) * (first - auc**2) + (m - 1) * (second - auc**2)
    width = 1.96 * math.sqrt(max(0.0, square) / (n * m))
    return max(0.0, auc - width), min(1.0, auc + width)
