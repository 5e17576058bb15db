"""`csv:PATH`: CSV files, some rows at a time."""

from typing import TYPE_CHECKING

from kerascale.datasets.packed.rows import RowSource
from kerascale.datasets.packed.sources.tables import opened
from kerascale.datasets.sources.csv_table import open_csv

if TYPE_CHECKING:
    from kerascale.datasets.packed.sources import SourceOptions


def open_rows(rest: str, options: "SourceOptions") -> RowSource:
    """The rows of CSV files; see `csv_source.load_csv`.

    Raises:
        RefusedError: With what is wrong with their headers.
    """
    return opened(open_csv, "csv:", rest, options)
