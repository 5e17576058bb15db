"""A pandas `DataFrame` as a table: the cells that its file would have."""

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from kerascale.datasets.raw import RawData, Split
from kerascale.datasets.sources.checks import listing
from kerascale.datasets.tables import inference, notes
from kerascale.errors import RefusedError


def cells(frame: pd.DataFrame) -> np.ndarray:
    """Texts, an object array of shape (rows, columns); an empty one is a gap."""
    found = np.empty(frame.shape, dtype=object)
    for place in range(frame.shape[1]):
        column = frame.iloc[:, place]
        texts = column.astype(object).map(_cell)
        found[:, place] = texts.where(column.notna(), "").to_numpy(object)
    return found


def _cell(value: Any) -> str:
    if isinstance(value, pd.Timestamp):
        return value.isoformat(sep=" ") if value.time() else value.date().isoformat()
    return repr(value) if isinstance(value, float) else str(value)


def with_frames(
    raw: RawData, frame: pd.DataFrame, others: dict[str, pd.DataFrame]
) -> RawData:
    """Data whose labels are known, with the rows of frames for features.

    Args:
        raw: The labels of all splits; its features stand for nothing.
        frame: Those of the training.
        others: Split -> those of validation and test.

    Raises:
        RefusedError: If the frames have other columns, or a column has words among
            numbers.
    """
    names = tuple(map(str, frame.columns))
    problems = [
        f"{split}: expected the columns {listing(names)}. Received: "
        f"{listing(map(str, other.columns))}"
        for split, other in others.items()
        if tuple(map(str, other.columns)) != names
    ]
    if len(set(names)) < len(names):
        problems.append(f"x: expected columns of different names. Received: {names}")
    if problems:
        raise RefusedError(problems, heading=raw.name)
    train = cells(frame)
    looked = inference.look(train, names, {})
    strange = [each for each in looked if each.strange]
    if strange:
        raise RefusedError(
            [
                f"column {each.column.name!r}: expected numbers, or words. Received: "
                f"words among numbers, such as {listing(each.strange)}"
                for each in strange
            ],
            heading=raw.name,
        )
    notes.on_columns(looked)
    columns = tuple(each.column for each in looked)
    splits: dict[str, Any] = {"train": Split(train, raw.train.labels)}
    for split, other in others.items():
        found = cells(other)
        inference.unfit(columns, found, names, split)
        splits[split] = Split(found, getattr(raw, split).labels)
    found = dataclasses.replace(
        raw, kind="table", feature_names=names, columns=columns, **splits
    )
    notes.on_leaks(found, found.target_names or ("y",))
    return found
