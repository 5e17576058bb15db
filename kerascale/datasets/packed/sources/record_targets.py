"""Labels of TFRecord files that are no classes: numbers to predict, several labels."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from kerascale.config.tasks import AskedTask, Task
from kerascale.datasets.sources.tfrecord_schema import Schema
from kerascale.datasets.targets import Decision
from kerascale.errors import RefusedError


class Targets(NamedTuple):
    """What is to be told of each record, which is no class.

    Args:
        task: `regression` or `multilabel`.
        names: Of the targets.
    """

    task: Task
    names: tuple[str, ...]

    def of_records(self, labels: Sequence[Any], places: Sequence[str]) -> np.ndarray:
        """float32 of shape (records, targets).

        Args:
            labels: A number each, or an array of them.
            places: Where each stands, for messages.

        Raises:
            RefusedError: If one is no finite number, or neither 0 nor 1.
        """
        shape = (len(labels), len(self.names))
        found = np.array(labels, np.float64).reshape(shape)
        with np.errstate(over="ignore"):
            found = found.astype(np.float32)
        is_multilabel = self.task == "multilabel"
        good = np.isin(found, (0, 1)) if is_multilabel else np.isfinite(found)
        bad = np.flatnonzero(~good.all(axis=1))
        if len(bad):
            expected = "0 or 1 for each label" if is_multilabel else "finite numbers"
            raise RefusedError(
                f"{places[bad[0]]}: expected {expected}, for --task {self.task}. "
                f"Received: {labels[bad[0]]}. Correct the record, or leave it out."
            )
        return found


def decide(asked: AskedTask, schema: Schema, first: Any) -> Targets | None:
    """What records are packed for; None: their labels are classes.

    Args:
        asked: The option `task`; with `auto` the label of the first record tells it.
        schema: Of the records.
        first: The label of the first record.
    """
    if schema.target is None and asked not in ("regression", "multilabel"):
        return None
    count = np.size(first)
    names = (schema.label,)
    if count > 1:
        names = tuple(f"{schema.label}_{i}" for i in range(count))
    names = schema.class_names or names
    if asked in ("regression", "multilabel"):
        return Targets(asked, names)
    if schema.target.type == "float":
        decision = Decision("regression", f"{schema.label!r} holds floats")
    elif np.isin(first, (0, 1)).all():
        decision = Decision("multilabel", f"{schema.label!r} holds 0 and 1")
    else:
        decision = Decision("regression", f"{schema.label!r} holds several numbers")
    decision.say("auto")
    return Targets(decision.task, names)
