"""`csv:PATH`: CSV files, some rows at a time."""

import os
from typing import TYPE_CHECKING

from kerascale.datasets.packed.rows import RowSource
from kerascale.datasets.packed.sources.tables import TableRows, opener
from kerascale.datasets.sources.csv_table import open_csv

if TYPE_CHECKING:
    from kerascale.datasets.packed.sources import SourceOptions


def open_rows(rest: str, options: "SourceOptions") -> RowSource:
    """The rows of CSV files; see `csv_source.load_csv`.

    Raises:
        RefusedError: With what is wrong with their headers.
    """
    how = {
        "label": options.label,
        "num_classes": options.num_classes,
        "options": options.csv_options,
    }
    test = options.test_data
    if test is not None:
        test = os.path.expanduser(test.removeprefix("csv:"))
    return TableRows(open_csv(rest, **how), opener(open_csv, test, **how))
