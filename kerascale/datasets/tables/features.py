"""The first layer of a model on a table: features of what `TableEncoder` gives."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kerascale.datasets.tables.column import Column

_FAR = 10.0


@keras.saving.register_keras_serializable(package="kerascale")
class TableFeatures(keras.layers.Layer):
    """Features of mean 0 in the training examples, whatever a column holds.

    A number becomes its distance from the mean in deviations, and its place among the
    quantiles of the training examples, piece by piece linear (Gorishniy et al., "On
    Embeddings for Numerical Features in Tabular Deep Learning", 2022), so that steps
    and skewed columns can be learned. A category becomes one of several; a date its
    days like a number, with day of the week, season and time of day around circles; a
    text its words. A gap has a feature of its own if the training examples have gaps,
    and a category that is unknown has that of rare ones if there are some; else both
    are the mean of all, which is what is known of them.

    Args:
        columns: What each column is and holds (`Column.to_json()`).
        as_sequence: Boolean. Whether the features of each column stand in a row of
            their own, with 0 in the places of the others', so that one dense layer
            behind makes a token of each column ("FT-Transformer": Gorishniy et al.,
            "Revisiting Deep Learning Models for Tabular Data", 2021).
        **kwargs: `name`, `dtype` and the other arguments of a `keras.layers.Layer`.

    Call arguments:
        inputs: What `TableEncoder` gives, of shape `(batch, numbers)`.

    Returns:
        Float tensor of shape `(batch, features)` or `(batch, columns, features)`.
    """

    def __init__(
        self,
        columns: Sequence[Mapping[str, Any]],
        as_sequence: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        # Days since 1970 and ids are no half-precision numbers: see `features_of`.
        self.autocast = False
        self.columns = [Column.from_json(dict(each)) for each in columns]
        self.as_sequence = as_sequence
        read = self.read
        self._parts = [_PARTS[column.kind](column) for column in read]
        self._widths = [column.width for column in read]

    @property
    def width(self) -> int:
        return sum(part.width for part in self._parts)

    @property
    def read(self) -> list[Column]:
        """The columns that features are made of, in their order."""
        return [column for column in self.columns if column.kind != "ignored"]

    @property
    def widths(self) -> list[int]:
        """How many features each of them has."""
        return [part.width for part in self._parts]

    def build(self, input_shape: Any) -> None:
        if input_shape[-1] != sum(self._widths):
            raise ValueError(
                f"Expected rows of {sum(self._widths)} numbers, as TableEncoder gives "
                f"them. Received: input_shape={tuple(input_shape)}."
            )

    def call(self, inputs: Any) -> Any:
        inputs = ops.cast(inputs, self.compute_dtype)
        starts = np.cumsum([0, *self._widths])
        found = [
            part(inputs[:, start : start + width], self.compute_dtype)
            for part, start, width in zip(
                self._parts, starts, self._widths, strict=False
            )
        ]
        if not self.as_sequence:
            return ops.concatenate(found, axis=-1)
        rows, before = [], 0
        for part, features in zip(self._parts, found, strict=True):
            behind = self.width - before - part.width
            rows.append(ops.pad(features, [[0, 0], [before, behind]]))
            before += part.width
        return ops.stack(rows, axis=1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        if self.as_sequence:
            return (input_shape[0], len(self._parts), self.width)
        return (input_shape[0], self.width)

    def get_config(self) -> dict[str, Any]:
        columns = [column.to_json() for column in self.columns]
        own = {"columns": columns, "as_sequence": self.as_sequence}
        return {**super().get_config(), **own}


class _Number:
    """A number: deviations, pieces between quantiles, whether it is a gap."""

    def __init__(self, column: Column) -> None:
        self._column = column
        edges = np.asarray(column.edges, np.float64)
        self._lower, self._upper = edges[:-1], edges[1:]
        self.width = 1 + len(self._lower) + column.has_gaps

    def __call__(self, cells: Any, dtype: str) -> Any:
        column = self._column
        cells = cells[:, :1]
        is_gap = ops.isnan(cells)
        cells = ops.where(is_gap, ops.full_like(cells, column.mean), cells)
        mean = ops.cast(column.mean, cells.dtype)
        distance = (cells - mean) / ops.cast(column.scale, cells.dtype)
        found = [ops.clip(distance, -_FAR, _FAR)]
        if len(self._lower):
            lower = ops.convert_to_tensor(self._lower, cells.dtype)
            size = ops.convert_to_tensor(self._upper - self._lower, cells.dtype)
            pieces = ops.clip((cells - lower) / size, 0, 1)
            shares = ops.convert_to_tensor(np.asarray(column.shares), cells.dtype)
            known = ops.cast(ops.logical_not(is_gap), cells.dtype)
            found.append((pieces - shares) * known)
        if column.has_gaps:
            found.append(ops.cast(is_gap, cells.dtype))
        return ops.cast(ops.concatenate(found, axis=-1), dtype)


class _Category:
    """One of several: a place for each value, for gaps, and for rare ones."""

    def __init__(self, column: Column) -> None:
        count = len(column.values)
        places = [column.has_gaps, column.has_rare, *[True] * count]
        self.width = sum(places)
        table = np.eye(count + 2)[:, np.flatnonzero(places)]
        shares = np.asarray(column.shares, np.float64)
        mean = shares[np.flatnonzero(places)]
        # What never occurred in training is the mean of what did: 0 behind this.
        known = np.asarray(places)[:, None]
        self._table = np.where(known, table - mean, 0.0)

    def __call__(self, cells: Any, dtype: str) -> Any:
        table = ops.convert_to_tensor(self._table, dtype)
        return ops.take(table, ops.cast(cells[:, 0], "int32"), axis=0)


class _Date:
    """Days like a number; day of the week, season and time of day around circles.

    A circle has a knot for each day, month or hour. A time between two knots belongs to
    both, by how near it is: what is between midnight and one o'clock is so, too.
    """

    def __init__(self, column: Column) -> None:
        self._days = _Number(column)
        self._knots = (7, 12, 24) if column.has_times else (7, 12)
        self.width = self._days.width + sum(self._knots)

    def __call__(self, cells: Any, dtype: str) -> Any:
        found = [self._days(cells, dtype)]
        turns = (1 / 7, 1.0, 1.0)
        for place, count in enumerate(self._knots):
            time = cells[:, place + 1 : place + 2] * (turns[place] * count)
            is_gap = ops.isnan(time)
            time = ops.where(is_gap, ops.zeros_like(time), time)
            knots = ops.convert_to_tensor(np.arange(count), cells.dtype)
            distance = ops.abs(ops.mod(time - knots + count / 2, count) - count / 2)
            nearness = ops.maximum(1 - distance, 0) - 1 / count
            known = ops.cast(ops.logical_not(is_gap), cells.dtype)
            found.append(ops.cast(nearness * known, dtype))
        return ops.concatenate(found, axis=-1)


class _Text:
    """Which of the most frequent words occur, and whether another one does."""

    def __init__(self, column: Column) -> None:
        self.width = len(column.values)
        self._shares = np.asarray(column.shares, np.float64)

    def __call__(self, cells: Any, dtype: str) -> Any:
        return ops.cast(cells, dtype) - ops.convert_to_tensor(self._shares, dtype)


_PARTS = {
    "number": _Number,
    "category": _Category,
    "boolean": _Category,
    "date": _Date,
    "text": _Text,
}
