"""What a compressed model's answers are worth, beside those of the original."""

import dataclasses
from typing import Any

import numpy as np

from kerascale.compression.measuring import intervals, number_scores
from kerascale.datasets.info import DataInfo


@dataclasses.dataclass(frozen=True)
class Answers:
    """What a model answers on the held-out examples; of texts, for each token.

    Args:
        predicted: The class or token with the largest probability, integers.
        given: The probability of the right one.
        highest: That of the predicted one.

    Of a regression each of the three is the answer: float32 of shape (examples,
    targets).
    """

    predicted: np.ndarray
    given: np.ndarray
    highest: np.ndarray

    @property
    def nats(self) -> np.ndarray:
        """The loss of each answer."""
        smallest = np.finfo(np.float32).tiny
        return -np.log(np.maximum(self.given, smallest), dtype=np.float64)


def score(
    answers: Answers, original: Answers, labels: np.ndarray, info: DataInfo
) -> dict[str, Any]:
    """The numbers of a rung.

    Args:
        answers: Its answers.
        original: Those of the trained model.
        labels: What is right, integers of the same shape.
        info: The task, and the name of each class; of a language model none.

    Returns:
        `accuracy`, `loss` (nats), `agreement` (share of answers that are the
        original's), `drop` (of accuracy; for a language model, nats that were added)
        with its 95 % interval `drop_interval`, `largest_change` (of the right
        answer's probability); of classes `class_drops` (of recall); of a language
        model `perplexity`. Of a regression see `number_scores.score`.
    """
    if info.task == "regression":
        both = (each.predicted.astype(np.float64) for each in (answers, original))
        return number_scores.score(*both, labels, info)
    right, was_right = answers.predicted == labels, original.predicted == labels
    loss = float(answers.nats.mean())
    result = {
        "accuracy": float(right.mean()),
        "loss": loss,
        "agreement": float((answers.predicted == original.predicted).mean()),
        "largest_change": float(changes(answers, original, info).max()),
    }
    if not info.class_names:
        added = (answers.nats - original.nats).reshape(len(labels), -1).mean(axis=1)
        return {
            **result,
            "perplexity": float(np.exp(loss)),
            "drop": float(added.mean()),
            "drop_interval": list(intervals.mean_of(added)),
        }
    drops = {}
    for index, name in enumerate(info.class_names):
        mine = labels == index
        if mine.any():
            drops[name] = float(was_right[mine].mean() - right[mine].mean())
    return {
        **result,
        "drop": float(was_right.mean() - right.mean()),
        "drop_interval": list(intervals.drop_of_shares(was_right, right)),
        "class_drops": drops,
    }


def changes(answers: Answers, original: Answers, info: DataInfo) -> np.ndarray:
    """How far each answer moved: the probability of the right one, or a number.

    Args:
        answers: Of a rung.
        original: Of the trained model.
        info: The task; of a regression the deviations in which they are counted.
    """
    if info.task == "regression":
        both = (each.predicted.astype(np.float64) for each in (answers, original))
        return number_scores.changes(*both, info)
    return np.abs(answers.given - original.given)
