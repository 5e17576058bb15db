"""The layer from a row as it stands in a file to numbers that fit in memory."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascale.datasets import text
from kerascale.datasets.tables import dates
from kerascale.datasets.tables.column import GAPS, Column

# Rows that are in TensorFlow's memory at once.
_BATCH = 4096
# Ids of categories: a gap, and what is not among the values that are told apart.
GAP, UNKNOWN, FIRST = 0, 1, 2


@keras.saving.register_keras_serializable(package="kerascale")
class TableEncoder(keras.layers.Layer):
    """Reads the cells of rows: numbers, ids of categories, parts of dates, words.

    It stands in the data, and in front of the trained model when that is served, so
    that both read a cell alike. What it gives is as narrow as the table; the model's
    first layer, `TableFeatures`, makes features of it.

    Args:
        columns: What each column is (`Column.to_json()`).
        **kwargs: `name` and the other arguments of a `keras.layers.Layer`.

    Call arguments:
        inputs: Dict of strings, by the columns' `input_name`, each of shape `(batch,)`:
            cells as the file has them. An empty string is a gap.

    Returns:
        float32 of shape `(batch, numbers)`: for a number itself, NaN for a gap; for a
        category its id, 0 a gap, 1 unknown; for a date what `dates.parsed` says; for a
        text 1 for each word that occurs.
    """

    def __init__(self, columns: Sequence[Mapping[str, Any]], **kwargs: Any) -> None:
        kwargs.setdefault("dtype", "float32")
        kwargs.setdefault("name", "table_encoder")
        super().__init__(**kwargs)
        self.columns = [Column.from_json(dict(each)) for each in columns]
        self.read = [column for column in self.columns if column.kind != "ignored"]
        self.lookups = [_lookup(column) for column in self.read]
        self._graph = None
        self.built = True

    @property
    def input_names(self) -> list[str]:
        """What is read, in the order of the columns."""
        return [column.input_name for column in self.read]

    @property
    def width(self) -> int:
        return sum(column.width for column in self.read)

    def get_vocabulary(self) -> list[str]:
        """All that it tells apart, as text: equal for layers that answer alike."""
        found = []
        for column in self.read:
            kind = f"{column.name}={column.kind}:{column.order or ''}"
            found += [f"{kind}:{value}" for value in (*column.gaps, *column.values)]
            found.append(kind)
        return found

    def call(self, inputs: Mapping[str, Any]) -> tf.Tensor:
        parts = [
            self._encoded(column, lookup, inputs[column.input_name])
            for column, lookup in zip(self.read, self.lookups, strict=True)
        ]
        return tf.concat(parts, axis=-1)

    def _encoded(self, column: Column, lookup: Any, cells: Any) -> tf.Tensor:
        cells = tf.convert_to_tensor(cells, tf.string)
        if column.kind == "text":
            return tf.cast(lookup(cells), tf.float32)
        cells = tf.strings.strip(cells)
        if column.kind in ("category", "boolean"):
            gaps = [gap.strip() for gap in column.gaps]
            if column.kind == "boolean":
                cells = tf.strings.lower(cells)
                gaps = [*GAPS, *(gap.lower() for gap in gaps)]
            for gap in gaps:
                cells = tf.where(tf.equal(cells, gap), "", cells)
            return tf.cast(lookup(cells), tf.float32)[:, None]
        gaps = tf.constant([*GAPS, *(gap.strip().lower() for gap in column.gaps)])
        lowered = tf.strings.lower(cells)
        is_gap = tf.reduce_any(tf.equal(lowered[:, None], gaps[None]), axis=1)
        if column.kind == "date":
            return dates.parsed(cells, is_gap, column.order)
        numbers = tf.strings.to_number(tf.where(is_gap, "0", cells), tf.float64)
        nan = tf.fill(tf.shape(numbers), tf.constant(float("nan"), tf.float64))
        return tf.cast(tf.where(is_gap, nan, numbers), tf.float32)[:, None]

    def compute_output_spec(self, inputs: Any) -> Any:
        batch = next(iter(inputs.values())).shape[0]
        return keras.KerasTensor((batch, self.width), "float32")

    def get_config(self) -> dict[str, Any]:
        columns = [column.to_json() for column in self.columns]
        return {**super().get_config(), "columns": columns}

    def encode(self, features: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """Rows as they are in memory while a model is trained.

        Args:
            features: Texts, an object array of shape (rows, columns).
            names: Of these columns.

        Returns:
            float32 of shape (rows, numbers).
        """
        found = np.empty((len(features), self.width), np.float32)
        call = self._traced()
        for start in range(0, len(features), _BATCH):
            rows = features[start : start + _BATCH]
            inputs = self.inputs_of(rows, names)
            with tf.device("CPU"):
                found[start : start + _BATCH] = call(inputs).numpy()
        # One NaN of all: the data's fingerprint is of its bytes.
        found[np.isnan(found)] = np.nan
        return found

    def _traced(self) -> Any:
        """`call` as one graph, for any number of rows."""
        if self._graph is None:
            specs = {
                name: tf.TensorSpec((None,), tf.string) for name in self.input_names
            }
            self._graph = tf.function(
                self.call, input_signature=[specs], autograph=False
            )
        return self._graph

    def inputs_of(
        self, features: np.ndarray, names: Sequence[str]
    ) -> dict[str, tf.Tensor]:
        """Rows as `call` takes them, on the CPU."""
        places = {
            column.input_name: list(names).index(column.name) for column in self.read
        }
        with tf.device("CPU"):
            return {
                name: tf.constant(features[:, place], tf.string)
                for name, place in places.items()
            }

    def serving_inputs(self) -> dict[str, Any]:
        """A `keras.Input` for each column that is read."""
        return {n: keras.Input((), dtype="string", name=n) for n in self.input_names}


def _lookup(column: Column) -> keras.layers.Layer | None:
    if column.kind in ("category", "boolean"):
        return keras.layers.StringLookup(
            vocabulary=list(column.values), mask_token="", num_oov_indices=1
        )
    if column.kind == "text":
        return keras.layers.TextVectorization(
            standardize=text.standardize_words,
            output_mode="multi_hot",
            vocabulary=list(column.values[1:]),
        )
    return None
