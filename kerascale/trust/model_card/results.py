"""The numbers of a card: each with what it was measured on, each to be read back."""

import dataclasses
from typing import Any

from kerascale.trust.model_card.facts import Facts, without_folders

# Metric of a final evaluation -> its name on the card, in this order.
NAMES = {
    "accuracy": "Accuracy",
    "auc": "Area under the ROC curve",
    "average_precision": "Average precision",
    "f1": "F1",
    "precision": "Precision",
    "recall": "Recall",
    "exact_match": "All labels right",
    "kappa": "Quadratic kappa",
    "r2": "R2",
    "rmse": "Root mean squared error",
    "mae": "Mean absolute error",
    "perplexity": "Perplexity",
    "loss": "Loss",
}
EVALUATION, AUDIT, ATTACK = "evaluation", "audit", "attack"


@dataclasses.dataclass(frozen=True)
class Result:
    """One number.

    Args:
        source: Who measured it: `evaluation`, `audit` or `attack`.
        config: What it was measured on, beside the data: a split, a group, an attack.
            Two results of the same config would be merged into one evaluation.
        metric: Its identifier.
        value: A plain float: with a NumPy one a card cannot be read.
        name: As a person reads it.
    """

    source: str
    config: str
    metric: str
    value: float
    name: str


def of_facts(facts: Facts) -> list[Result]:
    """All numbers of a card."""
    return [
        *of_evaluation(facts.evaluation, facts.split),
        *(of_audit(facts.audit) if facts.audit else ()),
        *(of_attack(facts.attack) if facts.attack else ()),
    ]


def of_evaluation(evaluation: dict[str, Any], split: str) -> list[Result]:
    """Those of a final evaluation."""
    return [
        Result(EVALUATION, split, metric, float(evaluation[metric]), name)
        for metric, name in NAMES.items()
        if isinstance(evaluation.get(metric), int | float)
    ]


def of_audit(audit: dict[str, Any]) -> list[Result]:
    """The main number of each group that has enough examples."""
    if not audit.get("group"):
        return []
    found = []
    for group, numbers in audit.get("groups", {}).items():
        metric = "accuracy" if "accuracy" in numbers else "mae"
        number = numbers.get(metric)
        if group in audit.get("too_small", ()) or not isinstance(number, dict):
            continue
        what = without_folders(audit["data"])
        config = f"{what}, {audit['group']} = {group}"
        value = float(number["value"])
        found.append(Result(AUDIT, config, metric, value, NAMES[metric]))
    return found


def of_attack(attack: dict[str, Any]) -> list[Result]:
    """Accuracy under attack, at each epsilon, and under all attacks together."""
    norm = attack.get("norm", "")
    numbers: dict[str, Any] = {}
    for point in attack.get("curve") or ():
        if isinstance(point, dict) and "epsilon" in point:
            for kind in ("fgsm", "pgd"):
                what = f"{kind}, {norm} norm, epsilon {point['epsilon']:g}"
                numbers[what] = point.get(kind)
    epsilon = (attack.get("evidence") or {}).get("epsilon")
    if epsilon is not None:
        what = f"all attacks, {norm} norm, epsilon {epsilon:g}"
        numbers[what] = attack.get("robust")
    return [
        Result(ATTACK, config, "accuracy", float(value), NAMES["accuracy"])
        for config, value in numbers.items()
        if isinstance(value, int | float)
    ]
