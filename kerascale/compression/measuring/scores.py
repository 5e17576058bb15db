"""What a compressed model's answers are worth, beside those of the original."""

import dataclasses
from typing import Any

import numpy as np

from kerascale.compression.measuring import intervals


@dataclasses.dataclass(frozen=True)
class Answers:
    """What a model answers on the held-out examples; of texts, for each token.

    Args:
        predicted: The class or token with the largest probability, integers.
        given: The probability of the right one.
        highest: That of the predicted one.
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
    answers: Answers, original: Answers, labels: np.ndarray, names: tuple[str, ...]
) -> dict[str, Any]:
    """The numbers of a rung.

    Args:
        answers: Its answers.
        original: Those of the trained model.
        labels: What is right, integers of the same shape.
        names: The name of each class; empty for a language model.

    Returns:
        `accuracy`, `loss` (nats), `agreement` (share of answers that are the
        original's), `drop` (of accuracy; for a language model, nats that were added)
        with its 95 % interval `drop_interval`, `largest_change` (of the right
        answer's probability); of classes `class_drops` (of recall); of a language
        model `perplexity`.
    """
    right, was_right = answers.predicted == labels, original.predicted == labels
    loss = float(answers.nats.mean())
    result = {
        "accuracy": float(right.mean()),
        "loss": loss,
        "agreement": float((answers.predicted == original.predicted).mean()),
        "largest_change": float(np.abs(answers.given - original.given).max()),
    }
    if not names:
        added = (answers.nats - original.nats).reshape(len(labels), -1).mean(axis=1)
        return {
            **result,
            "perplexity": float(np.exp(loss)),
            "drop": float(added.mean()),
            "drop_interval": list(intervals.mean_of(added)),
        }
    drops = {}
    for index, name in enumerate(names):
        mine = labels == index
        if mine.any():
            drops[name] = float(was_right[mine].mean() - right[mine].mean())
    return {
        **result,
        "drop": float(was_right.mean() - right.mean()),
        "drop_interval": list(intervals.drop_of_shares(was_right, right)),
        "class_drops": drops,
    }
