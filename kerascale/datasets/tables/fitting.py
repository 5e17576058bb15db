"""What the training rows say of each column: its values, quantiles and gaps."""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd

from kerascale.datasets import text
from kerascale.datasets.tables.column import Column
from kerascale.datasets.tables.encoder import FIRST, GAP, UNKNOWN, TableEncoder
from kerascale.datasets.tables.features import TableFeatures

# Of a category that fewer training rows have, too little is known to tell it apart.
_RARE_SHARE = 0.0005
_RARE_ROWS = 2
# Pieces between quantiles: of one number, and of all numbers of a table together.
_MOST_PIECES, _FEWEST_PIECES, _PIECES_OF_ALL = 32, 4, 1024
_OOV = "[UNK]"


def with_values(
    columns: Sequence[Column], features: np.ndarray, names: Sequence[str]
) -> list[Column]:
    """The columns with what categories and words there are.

    Args:
        columns: What each is.
        features: The training rows: texts, an object array of shape (rows, columns).
        names: Of these columns.
    """
    found = []
    for column in columns:
        cells = features[:, list(names).index(column.name)]
        if column.kind == "category":
            column = dataclasses.replace(column, values=_values(column, cells))
        elif column.kind == "boolean":
            column = dataclasses.replace(column, values=("false", "true"))
        elif column.kind == "text":
            column = dataclasses.replace(column, values=_words(column, cells))
        found.append(column)
    return found


def _values(column: Column, cells: np.ndarray) -> tuple[str, ...]:
    counts = pd.Series(cells).str.strip().value_counts()
    gaps = {"", _OOV, *(gap.strip() for gap in column.gaps)}
    counts = counts[[value not in gaps for value in counts.index]]
    # Ties by the value: the same on each machine.
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    least = max(_RARE_ROWS, int(np.ceil(_RARE_SHARE * len(cells))))
    frequent = [value for value, count in ranked if count >= least]
    frequent = frequent or [value for value, _ in ranked]
    return tuple(frequent[: column.max_categories])


def _words(column: Column, cells: np.ndarray) -> tuple[str, ...]:
    layer = text.word_vectorizer(
        cells, vocabulary_size=column.max_words + 2, max_length=1024
    )
    words = layer.get_vocabulary()[2:]
    return (_OOV, *words)


def with_moments(columns: Sequence[Column], encoded: np.ndarray) -> list[Column]:
    """The columns with mean, deviation, quantiles and shares.

    Args:
        columns: With their values.
        encoded: What `TableEncoder` made of the training rows.
    """
    numeric = sum(column.kind in ("number", "date") for column in columns)
    pieces = _PIECES_OF_ALL // max(1, numeric)
    pieces = min(_MOST_PIECES, max(_FEWEST_PIECES, pieces))
    found, start = [], 0
    for column in columns:
        cells = encoded[:, start : start + column.width]
        start += column.width
        if column.kind in ("number", "date"):
            column = _with_quantiles(column, cells, pieces)
        elif column.kind in ("category", "boolean"):
            ids = cells[:, 0].astype(np.int64)
            shares = np.bincount(ids, minlength=FIRST + len(column.values)) / len(ids)
            column = dataclasses.replace(
                column,
                shares=tuple(shares.tolist()),
                has_gaps=bool(shares[GAP] > 0),
                has_rare=bool(shares[UNKNOWN] > 0),
            )
        elif column.kind == "text":
            shares = cells.mean(axis=0, dtype=np.float64)
            column = dataclasses.replace(column, shares=tuple(shares.tolist()))
        found.append(column)
    return found


def _with_quantiles(column: Column, cells: np.ndarray, pieces: int) -> Column:
    values = cells[:, 0].astype(np.float64)
    is_gap = np.isnan(values)
    known = values[~is_gap]
    has_times = column.kind == "date" and len(np.unique(cells[~is_gap, 3])) > 1
    if not len(known):
        return dataclasses.replace(column, has_gaps=True)
    mean, scale = float(known.mean()), float(known.std())
    # Of few values there is a piece between each two.
    distinct = np.unique(known)
    if len(distinct) > pieces + 1:
        distinct = np.unique(np.quantile(known, np.linspace(0, 1, pieces + 1)))
    # As float32 they must differ, too.
    edges = np.unique(distinct.astype(np.float32)).astype(np.float64)
    edges = edges if len(edges) > 2 else edges[:0]
    shares = [
        float(np.clip((known - lower) / (upper - lower), 0, 1).mean())
        for lower, upper in itertools.pairwise(edges)
    ]
    return dataclasses.replace(
        column,
        mean=mean,
        scale=scale if scale > 1e-12 * max(1.0, abs(mean)) else 1.0,
        edges=tuple(edges.tolist()),
        shares=tuple(shares),
        has_gaps=bool(is_gap.any()),
        has_times=has_times,
    )


def fit(
    columns: Sequence[Column], features: np.ndarray, names: Sequence[str]
) -> tuple[list[Column], TableEncoder]:
    """Looks at the training rows, and at no others.

    Args:
        columns: What each is.
        features: The training rows: texts, an object array of shape (rows, columns).
        names: Of these columns.

    Returns:
        The columns with all that was found, and the layer that reads rows.
    """
    columns = with_values(columns, features, names)
    encoder = TableEncoder([column.to_json() for column in columns])
    columns = with_moments(columns, encoder.encode(features, names))
    return columns, encoder


def features_of(columns: Sequence[dict], *, as_sequence: bool) -> TableFeatures:
    """The first layer of a model on these columns."""
    from keras import config

    wide = config.floatx() == "float64"
    return TableFeatures(
        columns,
        as_sequence=as_sequence,
        dtype="float64" if wide else "float32",
        name="table_features",
    )
