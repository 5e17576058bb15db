"""The metric by which the best weights of a run are chosen, and its direction."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

# Names of Keras' metrics and losses, or what these begin or end with.
_RISE = (
    "acc",
    "accuracy",
    "auc",
    "precision",
    "recall",
    "f1",
    "f1_score",
    "fbeta_score",
    "iou",
    "io_u",
    "cosine_similarity",
    "correlation",
    "kappa",
    "r2",
    "r2_score",
    "exact_match",
    "true_positives",
    "true_negatives",
    "sensitivity_at_specificity",
    "specificity_at_sensitivity",
)
_FALL = (
    "loss",
    "error",
    "crossentropy",
    "hinge",
    "kl_divergence",
    "poisson",
    "logcosh",
    "perplexity",
    "mae",
    "mse",
    "rmse",
    "mape",
    "msle",
    "false_positives",
    "false_negatives",
)


@dataclasses.dataclass(frozen=True)
class Monitor:
    """A metric of the history, and which of its values are better.

    Args:
        name: Such as `val_loss`.
        mode: Whether the smallest or the largest value is the best.
    """

    name: str
    mode: Literal["min", "max"] = "min"

    @property
    def worst(self) -> float:
        """What every number is better than."""
        return math.inf if self.mode == "min" else -math.inf

    def is_better(self, value: float, other: float) -> bool:
        """Whether a value is better than another; NaN never is."""
        return value < other if self.mode == "min" else value > other

    def best(self, values: Sequence[float]) -> int:
        """The place of the first best value; 0 if none is a number."""
        known = [i for i, value in enumerate(values) if not math.isnan(value)]
        pick = min if self.mode == "min" else max
        return pick(known, key=lambda i: values[i], default=0)


def direction(name: str) -> Literal["min", "max"] | None:
    """Which values of a metric of Keras are better; None: that is not known."""
    plain = name.removeprefix("val_")
    for names, mode in ((_FALL, "min"), (_RISE, "max")):
        if any(plain == n or plain.endswith(f"_{n}") for n in names):
            return mode
    # Such as top_5_accuracy, precision_1, mean_io_u.
    if any(plain.startswith(f"{n}_") for n in _RISE):
        return "max"
    return "min" if any(plain.startswith(f"{n}_") for n in _FALL) else None


def monitor_of(fields: Mapping[str, Any], has_validation: bool) -> Monitor:
    """What a configuration asks for; by default the loss, of the validation if any.

    Args:
        fields: The configuration's fields; those of a run that was written before may
            lack `monitor`.
        has_validation: Whether there are validation examples.
    """
    name, mode = fields.get("monitor"), fields.get("monitor_mode", "auto")
    if name is None:
        return Monitor("val_loss" if has_validation else "loss")
    return Monitor(name, (direction(name) or "min") if mode == "auto" else mode)


def problems_of(fields: Mapping[str, Any]) -> list[str]:
    """What is wrong with the two fields of a configuration."""
    name, mode = fields["monitor"], fields["monitor_mode"]
    if name is None:
        if mode == "auto":
            return []
        return [
            f"monitor_mode: expected with monitor. Received: {mode!r} alone. Leave it "
            "out, or name the metric"
        ]
    if mode == "auto" and direction(name) is None:
        return [
            "monitor: expected a metric of Keras, whose direction is known. Received: "
            f"{name!r}. Pass --monitor-mode min or max, too"
        ]
    return []
