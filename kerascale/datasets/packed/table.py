"""A packed table with words, gaps or dates: its columns, and rows like a training's."""

import dataclasses
from typing import Any

import tensorflow as tf

from kerascale.datasets.bundle import Datasets
from kerascale.datasets.packed.opened import Packed
from kerascale.datasets.tables.column import Column
from kerascale.datasets.tables.encoder import TableEncoder
from kerascale.errors import RefusedError


def with_columns(packed: Packed, datasets: Datasets, config: Any) -> Datasets:
    """Batches of encoded rows, with what stands for them in a model and a report.

    Args:
        packed: Of kind `table`.
        datasets: Its batches.
        config: The recipe's configuration.

    Raises:
        RefusedError: If another share of the rows is to be held back than that which
            was not learned from when it was packed.
    """
    held = packed.manifest
    is_whole = {"validation", "test"} <= set(held.given_splits)
    if config.validation_fraction != held.held_out_fraction and not is_whole:
        raise RefusedError(
            f"validation_fraction: expected {held.held_out_fraction}, with which "
            f"{packed.name} was packed: its columns were learned from the other rows. "
            f"Received: {config.validation_fraction}. Pack the source again with "
            f"--validation-fraction {config.validation_fraction}."
        )
    columns = [Column.from_json(dict(each)) for each in held.columns]
    with tf.device("CPU"):
        examples = {
            name: tf.constant(cells, tf.string) for name, cells in held.examples.items()
        }
    return dataclasses.replace(
        datasets,
        info=dataclasses.replace(
            datasets.info, columns=tuple(column.shown() for column in columns)
        ),
        vectorizer=TableEncoder(list(held.columns)),
        columns=tuple(held.columns),
        examples=examples,
    )


def refuse_other_columns(packed: Packed, vectorizer: Any) -> None:
    """Refuses rows that were encoded by what other training rows say.

    Args:
        packed: Of kind `table`.
        vectorizer: Of a run: its layer from cells to numbers.

    Raises:
        RefusedError: With the way out.
    """
    own = TableEncoder(list(packed.manifest.columns))
    if own.get_vocabulary() != vectorizer.get_vocabulary():
        raise RefusedError(
            f"data: expected rows as the run's training encoded them. Received: "
            f"{packed.name}, whose categories and words are those of its own training "
            "rows. Take its source: csv:, parquet: or tfds:."
        )
