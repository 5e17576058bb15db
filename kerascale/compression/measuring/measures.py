"""What a rung may lose, and what that is called."""

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Measure:
    """The number by which the answers of a task are judged.

    Args:
        key: Its name among the scores.
        title: What a column of it is called.
        lost: What a column of its drop is called, in text.
        lost_on_page: The same on the page.
        beyond: What follows the drop where it is beyond the limit.
        sign: Of a drop in the number itself: -1, it falls; 1, it rises.
        change: What the change of a single answer is measured in.
    """

    key: str
    title: str
    lost: str
    lost_on_page: str
    beyond: str
    sign: int
    change: str


_PROBABILITY = "in a probability"
ACCURACY = Measure(
    "accuracy", "accuracy", "drop", "lost", "of accuracy lost", -1, _PROBABILITY
)
NATS = Measure("loss", "nats", "nats added", "nats added", "nats more", 1, _PROBABILITY)
R2 = Measure("r2", "R2", "drop", "lost", "of R2 lost", -1, "deviations of a target")


def of(scores: Mapping[str, Any]) -> Measure:
    """The measure of some scores: that of their task."""
    if "r2" in scores:
        return R2
    return NATS if "perplexity" in scores else ACCURACY
