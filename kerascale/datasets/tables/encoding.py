"""A table in memory, as the numbers that a training makes of its cells."""

import dataclasses
from typing import Any, NamedTuple

from kerascale.datasets import splits
from kerascale.datasets.raw import RawData
from kerascale.datasets.tables import fitting

# Rows that are kept as they stand in the file.
EXAMPLES = 8


class Encoded(NamedTuple):
    """What was made of a table.

    Args:
        raw: The same rows, of which the features are float32 of shape (rows, numbers).
        columns: What each column is, and what training rows say of it (JSON).
        examples: Some rows as they stand in the file: texts by `input_name`.
    """

    raw: RawData
    columns: tuple[dict[str, Any], ...]
    examples: dict[str, list[str]]


def encoded(raw: RawData, fraction: float) -> Encoded:
    """Encodes all rows by what its training rows say.

    Args:
        raw: Of kind `table`.
        fraction: The share of its rows that a training holds back for each split that
            the table lacks.

    Raises:
        RefusedError: If a split would be empty.
    """
    names = raw.feature_names
    named = splits.three(raw, fraction)
    columns, encoder = fitting.fit(raw.columns, named["train"].features, names)
    shown = named["test"].features[:EXAMPLES]
    examples = {
        name: [cell.decode() for cell in cells.numpy()]
        for name, cells in encoder.inputs_of(shown, names).items()
    }
    given = {name: getattr(raw, name) for name in ("train", "validation", "test")}
    rows = {
        name: dataclasses.replace(split, features=encoder.encode(split.features, names))
        for name, split in given.items()
        if split is not None
    }
    found = dataclasses.replace(raw, columns=(), **rows)
    return Encoded(found, tuple(column.to_json() for column in columns), examples)
