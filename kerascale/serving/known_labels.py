"""Labels that stand beside examples to predict: for scores, where there are any."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from kerascale.datasets.sources import npz_source
from kerascale.datasets.sources.label_cells import whole_number
from kerascale.runtime.console import counted, say


def of_table(frame: pd.DataFrame, label: str | None) -> list[str] | None:
    """The cells of the label column; None: there is no such column.

    Args:
        frame: The table, with the column as text.
        label: The label column of the training.
    """
    if label is None or label not in frame:
        return None
    cells = frame[label].astype(str).str.strip()
    whole = [whole_number(cell) for cell in cells]
    return [
        cell if number is None else str(number)
        for cell, number in zip(cells, whole, strict=True)
    ]


def of_folders(
    paths: Sequence[str], folder: str | os.PathLike, class_names: Sequence[str]
) -> list[str] | None:
    """The names of the folders of classes that images are in.

    Args:
        paths: The images.
        folder: Where they were looked for.
        class_names: Those of the training.

    Returns:
        None, unless each image is in a folder that is called like a class.
    """
    parts = [pathlib.PurePath(os.path.relpath(path, folder)).parts for path in paths]
    names = [each[0] if len(each) > 1 else "" for each in parts]
    return names if set(names) <= set(class_names) else None


def of_arrays(path: str | os.PathLike, class_names: Sequence[str]) -> list[str] | None:
    """The names of the classes of the labels in an `.npz` file; None: it has none."""
    labels = npz_source.read_labels(path)
    if labels is None:
        return None
    values = labels.reshape(-1).tolist()
    if labels.dtype.kind not in "iu" or tuple(class_names) == ("-1", "1"):
        return [str(value) for value in values]
    count = len(class_names)
    return [class_names[v] if 0 <= v < count else str(v) for v in values]


def targets_of_arrays(path: str | os.PathLike, info: Any) -> np.ndarray | None:
    """The targets, or several labels, in an `.npz` file; None: it has none that fit."""
    labels = npz_source.read_labels(path, kinds="iubf")
    if labels is None:
        return None
    labels = labels[:, None] if labels.ndim == 1 else labels
    fits = labels.ndim == 2 and labels.shape[1] == len(info.target_names)
    return labels.astype(np.float32) if fits else None


def indices(
    labels: Sequence[str] | None, class_names: Sequence[str]
) -> np.ndarray | None:
    """Class indices, int64; None, which is said, if a label is no class."""
    if labels is None:
        return None
    places = {name: index for index, name in enumerate(class_names)}
    others = [label for label in labels if label not in places]
    if others:
        say(
            f"no scores: {len(others):,} of {counted(len(labels), 'label')} "
            f"{'is' if len(others) == 1 else 'are'} no class of the run, such as "
            f"{others[0]!r}"
        )
        return None
    return np.array([places[label] for label in labels], dtype=np.int64)
