"""Arrays and data frames, which somebody has in Python, as batches."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from kerascale.config import TrainingConfig
from kerascale.config.tasks import TASKS
from kerascale.datasets import targets
from kerascale.datasets.bundle import Datasets
from kerascale.datasets.loading import prepare
from kerascale.datasets.sources import arrays
from kerascale.datasets.tables import data_frames


def from_arrays(
    x: Any,
    y: Any,
    config: TrainingConfig,
    *,
    validation: tuple[Any, Any] | None = None,
    test: tuple[Any, Any] | None = None,
    class_names: Sequence[str] | None = None,
    name: str = "arrays",
) -> Datasets:
    """Datasets out of NumPy arrays.

    Args:
        x: Features of the training examples: numbers of shape (examples, ...), or
            strings of shape (examples,); or a pandas `DataFrame`, whose columns may
            hold words, dates and gaps.
        y: Class indices, integers of shape (examples,); or names of classes, or -1
            and +1; or numbers to predict, of shape (examples,) or (examples, targets);
            or 0 and 1 for each of several labels, of shape (examples, labels). What
            they are taken for is said, and decided by `config.task`.
        config: Its batch size, seed and splits are used, as in `from_config`.
        validation: (x, y) like the training examples; or None.
        test: (x, y) like the training examples; or None.
        class_names: The name of each class, by label index.
        name: What to call the data in reports.
    """
    frames = {}
    if isinstance(x, pd.DataFrame):
        given = {"validation": validation, "test": test}
        frames = {split: pair[0] for split, pair in given.items() if pair is not None}
    raw = arrays.from_numpy(
        _rows_alone(x),
        _values(y),
        validation=validation and (_rows_alone(validation[0]), _values(validation[1])),
        test=test and (_rows_alone(test[0]), _values(test[1])),
        class_names=class_names,
        num_classes=config.num_classes,
        name=name,
        task=config.task,
    )
    if isinstance(x, pd.DataFrame):
        raw = data_frames.with_frames(raw, x, frames)
    raw = targets.with_task(raw, config.task, TASKS, config.class_order)
    return prepare(raw, config)


def _rows_alone(x: Any) -> Any:
    """As many rows as a frame has, whose cells are looked at later."""
    return np.zeros((len(x), 1), np.float32) if isinstance(x, pd.DataFrame) else x


def _values(y: Any) -> Any:
    """What pandas has of labels, as an array."""
    return y.to_numpy() if isinstance(y, pd.Series | pd.DataFrame) else y
