"""`parquet:PATH`: Parquet files, some rows at a time."""

import os
from typing import TYPE_CHECKING

from kerascale.datasets.packed.rows import RowSource
from kerascale.datasets.packed.sources.tables import TableRows, opener
from kerascale.datasets.sources.parquet_table import open_parquet

if TYPE_CHECKING:
    from kerascale.datasets.packed.sources import SourceOptions


def open_rows(rest: str, options: "SourceOptions") -> RowSource:
    """The rows of Parquet files; see `parquet_source.load_parquet`.

    Raises:
        RefusedError: With what is wrong with their columns.
    """
    how = {
        "label": options.label,
        "num_classes": options.num_classes,
        "options": options.csv_options,
    }
    test = options.test_data
    if test is not None:
        test = os.path.expanduser(test.removeprefix("parquet:"))
    return TableRows(open_parquet(rest, **how), opener(open_parquet, test, **how))
