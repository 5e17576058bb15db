"""`parquet:PATH`: Parquet files, some rows at a time."""

from typing import TYPE_CHECKING

from kerascale.datasets.packed.rows import RowSource
from kerascale.datasets.packed.sources.tables import opened
from kerascale.datasets.sources.parquet_table import open_parquet

if TYPE_CHECKING:
    from kerascale.datasets.packed.sources import SourceOptions


def open_rows(rest: str, options: "SourceOptions") -> RowSource:
    """The rows of Parquet files; see `parquet_source.load_parquet`.

    Raises:
        RefusedError: With what is wrong with their columns.
    """
    return opened(open_parquet, "parquet:", rest, options)
