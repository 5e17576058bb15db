"""Tables with words, gaps or dates: read whole, and packed as training encodes them."""

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from kerascale.config import TrainingConfig
from kerascale.config.tasks import TASKS
from kerascale.datasets import info
from kerascale.datasets.packed.rows import Facts, RowSource
from kerascale.datasets.packed.sources.in_memory import InMemory, facts_of
from kerascale.datasets.raw import RawData
from kerascale.datasets.sources import table_columns
from kerascale.datasets.tables import frames, inference, told
from kerascale.datasets.targets import number_of
from kerascale.errors import RefusedError

if TYPE_CHECKING:
    from kerascale.datasets.packed.sources import SourceOptions

# Of files: up to here all cells are looked at, above that the first ones.
SMALL_BYTES = 8 * 2**20
# What such a table may turn out to be.
KINDS = ("vector", "text", "table")


def opened(prefix: str, path: str, options: "SourceOptions") -> RowSource | None:
    """The rows of a table that has more than numbers, or one text.

    What the columns are is told by all training rows, and so are categories, quantiles
    and words: the table has to fit in memory as text while it is packed.

    Args:
        prefix: `csv` or `parquet`.
        path: Its files.
        options: See `SourceOptions`.

    Returns:
        None: its rows are read one after the other, or refused there.

    Raises:
        TooLargeError: If there is no memory for it.
        RefusedError: With everything that is wrong with it.
    """
    try:
        if not _has_words(prefix, path, options):
            return None
    except RefusedError:
        return None  # What is wrong with it is told where it is read.
    from kerascale.datasets.tables import loading

    raw = loading.load(config_of(f"{prefix}:{path}", options), KINDS, TASKS)
    return Whole(raw, options) if raw.kind == "table" else None


def config_of(name: str, options: "SourceOptions") -> TrainingConfig:
    """The configuration by which a training reads the same table."""
    how = options.csv_options
    return TrainingConfig(
        dataset=name,
        label=options.label,
        task=options.task,
        num_classes=options.num_classes,
        test_data=options.test_data,
        columns=how.columns,
        drop_columns=how.drop_columns,
        separator=how.separator,
        no_header=how.no_header,
        validation_fraction=options.validation_fraction,
    )


def _has_words(prefix: str, path: str, options: "SourceOptions") -> bool:
    how = options.csv_options
    if told.file_of(how.columns) is not None:
        return True
    names = frames.names_of(prefix, path, how)
    labels = table_columns.label_columns(options.label, names)
    if not labels:
        return False
    chosen = table_columns.chosen_columns(path, names, labels[0], how)
    features = table_columns.without_targets(path, chosen, labels)
    if len(features) == 1:
        return False
    is_peek = frames.num_bytes(prefix, path) > SMALL_BYTES
    cells = frames.read(prefix, path, features, how, is_peek=is_peek).cells(features)
    looked = inference.look(cells, features, {})
    if not len(cells) or any(each.strange for each in looked):
        return False
    # Always the same number: so far.
    return any(
        not each.is_plain
        and (each.column.kind != "ignored" or number_of(first) is None)
        for each, first in zip(looked, cells[0], strict=True)
    )


class Whole(InMemory):
    """The rows of a table, as numbers that `TableEncoder` has made of its cells.

    Args:
        raw: Of kind `table`.
        options: Of which `validation_fraction` counts: what is learned of the columns
            is learned of the training rows alone.
    """

    def __init__(self, raw: RawData, options: "SourceOptions") -> None:
        from kerascale.datasets.tables import encoding

        encoded = encoding.encoded(raw, options.validation_fraction)
        super().__init__(encoded.raw)
        self._columns, self._examples = encoded.columns, encoded.examples

    def identity(self) -> dict[str, Any]:
        return {"sha256": info.fingerprint(self._raw, json.dumps(self._columns))}

    def facts(self) -> Facts:
        return dataclasses.replace(
            facts_of(self._raw), columns=self._columns, examples=self._examples
        )
