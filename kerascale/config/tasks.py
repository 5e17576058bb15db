"""What a model is asked for: a class, several labels, or numbers."""

from typing import Literal, get_args

from kerascale.config.monitor import direction
from kerascale.errors import RefusedError

Task = Literal["classification", "binary", "multilabel", "regression", "ordinal"]
AskedTask = Literal["auto", Task]
TASKS: tuple[Task, ...] = get_args(Task)
# An answer is one probability for each of several classes, which exclude each other.
OF_CLASSES: tuple[Task, ...] = ("classification", "binary", "ordinal")


def best_direction(metric_name: str) -> Literal["min", "max"]:
    """Which values of a metric are better.

    Args:
        metric_name: A metric of a run's history or final evaluation, such as
            `val_auc`, `rmse` or `loss`.

    Raises:
        RefusedError: If it is not known of that metric.
    """
    found = direction(metric_name)
    if found is None:
        raise RefusedError(
            "metric: expected one of which is known whether small or large values are "
            "better, such as loss, accuracy, auc, rmse or r2. Received: "
            f"{metric_name!r}."
        )
    return found
