"""What the owner of a table should know of its columns."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from kerascale.config.tasks import OF_CLASSES
from kerascale.datasets.raw import RawData
from kerascale.datasets.tables.inference import Looked
from kerascale.runtime.console import say

# Of so many rows an equal column is no accident.
_FEWEST_ROWS = 20
_LINEAR = 1 - 1e-9
_WIDEST_NAME = 28


def on_columns(looked: Sequence[Looked]) -> None:
    """Says which column was taken for what, and why."""
    say("columns (other ones: --columns FILE):")
    side = min(_WIDEST_NAME, max(len(each.column.name) for each in looked))
    for each in looked:
        column = each.column
        say(f"  {column.name:<{side}}  {column.kind:<9} {column.why}")
    for each in looked:
        if each.note:
            out = "; left out" if each.column.kind == "ignored" else ""
            say(f"note: column {each.column.name!r}: {each.note}{out}")


def on_numbers(raw: RawData, label: str | None) -> None:
    """Says which columns of a table of numbers are the label or count the rows."""
    if raw.kind != "vector" or raw.train.features.ndim != 2:
        return
    features = raw.train.features
    if len(features) < _FEWEST_ROWS:
        return
    for place, name in enumerate(raw.feature_names):
        steps = np.diff(features[:, place])
        if steps[0] != 0 and (steps == steps[0]).all():
            say(
                f"note: column {name!r} counts the rows, like an id. If it is one, "
                f"leave it out: --drop-columns {name}"
            )
    on_leaks(raw, (label or "label",))


def on_leaks(raw: RawData, labels: Sequence[str]) -> None:
    """Warns of columns that tell the label: such a model is of no use later."""
    features = raw.train.features
    if features.ndim != 2 or len(features) < _FEWEST_ROWS:
        return
    for place, name in enumerate(raw.feature_names):
        told = _told(features[:, place], raw)
        if told is not None:
            which = labels[min(told, len(labels) - 1)]
            say(
                f"warning: column {name!r} equals the label {which!r}, in other words "
                "or units. A model that reads it learns nothing else: is it known when "
                f"the answer is wanted? If not: --drop-columns {name}"
            )


def _told(cells: np.ndarray, raw: RawData) -> int | None:
    """The target that a column equals; None: it equals none."""
    labels = raw.train.labels
    if raw.task in OF_CLASSES:
        codes, found = pd.factorize(cells)
        if len(found) != len(np.unique(labels)):
            return None
        pairs = np.unique(np.stack([codes, labels]), axis=1).shape[1]
        return 0 if pairs == len(found) else None
    values = pd.to_numeric(pd.Series(cells), errors="coerce").to_numpy(np.float64)
    if np.isnan(values).any() or values.std() == 0:
        return None
    for target in range(labels.shape[1]):
        own = labels[:, target].astype(np.float64)
        if own.std() and abs(np.corrcoef(values, own)[0, 1]) > _LINEAR:
            return target
    return None
