"""What each column of a table is taken for, and why."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from kerascale.datasets.sources.checks import Problems
from kerascale.datasets.tables import dates
from kerascale.datasets.tables.column import GAPS, Column, input_names

_BOOLEANS = ("true", "false")
# Of a column with words and numbers: from this share on it is one of numbers, and its
# words are mistakes.
_MOSTLY = 0.5
# Words of a cell, on average, from which on a column whose cells differ is free text.
_WORDS_OF_TEXT = 3.0
# Below so many different values they are categories, however few rows there are.
_FEW = 20
_SHARE_OF_IDS = 0.9
# A number of TensorFlow and of Python alike.
_NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"


@dataclasses.dataclass(frozen=True)
class Looked:
    """What was found by looking at a column.

    Args:
        column: What it is taken for.
        note: Something that its owner should know; empty: nothing.
        is_plain: Whether all cells are numbers: no gap, no word.
        strange: Cells that do not fit, such as a word among numbers.
    """

    column: Column
    note: str = ""
    is_plain: bool = False
    strange: tuple[str, ...] = ()


def look(
    features: np.ndarray, names: Sequence[str], told: Mapping[str, Mapping[str, Any]]
) -> list[Looked]:
    """What each column is.

    Args:
        features: Texts, an object array of shape (rows, columns).
        names: Of the columns.
        told: Column -> what its owner says of it; see `told.read`.
    """
    found = []
    for place, (name, own) in enumerate(zip(names, input_names(names), strict=True)):
        cells = pd.Series(features[:, place]).str.strip()
        looked = _look(Column(name, "ignored", input_name=own), cells, told.get(name))
        found.append(looked)
    return found


def _look(column: Column, cells: pd.Series, told: Mapping[str, Any] | None) -> Looked:
    told = dict(told or {})
    kind = told.pop("type", None)
    column = dataclasses.replace(column, **told)
    own = {gap.strip().lower() for gap in column.gaps}
    counts = cells.value_counts()
    texts = pd.Series(counts.index.astype(str))
    weights = counts.to_numpy()
    is_gap = texts.str.lower().isin([*GAPS, *own]).to_numpy()
    is_empty = texts.str.lower().isin(["", *own]).to_numpy()
    if kind is not None:
        return _as_told(column, kind, texts, weights, is_gap)
    known, counted = texts[~is_gap], weights[~is_gap]
    if not len(known) or (len(known) == 1 and not is_gap.any()):
        what = "nothing but gaps" if not len(known) else f"always {known.iloc[0]!r}"
        return Looked(
            dataclasses.replace(column, kind="ignored", why=what), f"constant: {what}"
        )
    is_number = known.str.fullmatch(_NUMBER).to_numpy(bool)
    if is_number.all():
        return _number(column, known, int(weights[is_gap].sum()), cells)
    words = texts[~is_empty]
    if known.str.lower().isin(_BOOLEANS).all():
        return Looked(_kind(column, "boolean", "True and False"))
    order, is_doubtful = dates.order_of(known)
    if order is not None:
        why = f"dates such as {known.iloc[0]}"
        note = "day or month may come first: taken as day first" if is_doubtful else ""
        column = dataclasses.replace(column, order=column.order or order)
        return Looked(_kind(column, "date", why), note)
    if counted[is_number].sum() > _MOSTLY * counted.sum():
        strange = tuple(known[~is_number].iloc[:3])
        return Looked(column, strange=strange)
    return _of_words(column, words, weights[~is_empty], len(cells))


def _number(
    column: Column, known: pd.Series, num_gaps: int, cells: pd.Series
) -> Looked:
    why = "numbers" + (f", {num_gaps:,} gaps" if num_gaps else "")
    values = pd.to_numeric(known)
    note = ""
    rows = len(cells)
    if rows > _FEW and len(known) == rows and pd.api.types.is_integer_dtype(values):
        in_order = pd.to_numeric(cells).diff().iloc[1:]
        if (in_order == in_order.iloc[0]).all():
            note = "an id: whole numbers in steps of the same size"
            if in_order.iloc[0] == 1:
                note = "an id: it counts the rows"
            return Looked(_kind(column, "ignored", note), note, is_plain=True)
    if values.abs().max() > 3e38:
        return Looked(column, strange=tuple(known[values.abs() > 3e38].iloc[:3]))
    return Looked(_kind(column, "number", why), note, is_plain=not num_gaps)


def _of_words(
    column: Column, words: pd.Series, counts: np.ndarray, rows: int
) -> Looked:
    distinct, filled = len(words), int(counts.sum())
    length = float(np.average(words.str.split().str.len(), weights=counts))
    if distinct > _FEW and distinct > 0.5 * filled and length >= _WORDS_OF_TEXT:
        return Looked(_kind(column, "text", f"{length:.0f} words in a cell"))
    if distinct > _FEW and distinct > _SHARE_OF_IDS * filled:
        why = f"an id: {distinct:,} different values in {filled:,} rows"
        return Looked(_kind(column, "ignored", why), why)
    gaps = f", {rows - filled:,} gaps" if rows > filled else ""
    return Looked(_kind(column, "category", f"{distinct:,} different values{gaps}"))


def _kind(column: Column, kind: Any, why: str) -> Column:
    return dataclasses.replace(column, kind=kind, why=why)


def _as_told(
    column: Column, kind: str, texts: pd.Series, weights: np.ndarray, is_gap: np.ndarray
) -> Looked:
    """A column whose owner has said what it is; cells that do not fit are strange."""
    known = texts[~is_gap]
    fits = pd.Series(True, known.index)
    if kind == "number":
        fits = known.str.fullmatch(_NUMBER).astype(bool)
    elif kind == "boolean":
        fits = known.str.lower().isin(_BOOLEANS)
    elif kind == "date":
        order = column.order or dates.order_of(known)[0] or "ymd"
        column = dataclasses.replace(column, order=order)
        fits = dates.are_dates(known, order)
    column = _kind(column, kind, "as --columns says")
    return Looked(column, strange=tuple(known[~fits].iloc[:3]))


def unfit(
    columns: Sequence[Column], features: np.ndarray, names: Sequence[str], path: str
) -> None:
    """Refuses rows whose cells are not what the training's columns are.

    Args:
        columns: Of the training.
        features: Texts, of shape (rows, columns).
        names: Of these columns.
        path: What the user calls them.

    Raises:
        RefusedError: With the first cells of each such column.
    """
    problems = Problems(f"{path} cannot be used")
    for column in columns:
        if column.kind not in ("number", "date", "boolean"):
            continue
        cells = pd.Series(features[:, list(names).index(column.name)]).str.strip()
        told = {"type": column.kind, "gaps": column.gaps, "order": column.order}
        looked = _look(Column(column.name, "ignored"), cells, told)
        if looked.strange:
            row = int(np.flatnonzero(cells == looked.strange[0])[0])
            problems.add(
                f"{path}, row {row}, column {column.name!r}: expected a "
                f"{column.kind}, as in training. Received: {looked.strange[0]!r}. "
                "Correct it, or leave it empty, which is a gap."
            )
    problems.raise_if_any()
