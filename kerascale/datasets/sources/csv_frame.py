"""A CSV file as pandas reads it, and columns of it as arrays."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from kerascale.datasets.sources.csv_files import DAMAGED, is_gzip
from kerascale.datasets.sources.csv_options import CsvOptions


def read_frame(
    path: str, names: tuple[str, ...], as_text: Sequence[str], options: CsvOptions
) -> pd.DataFrame | None:
    """The table as pandas reads it, or None if pandas refuses it.

    Args:
        path: The file.
        names: All its columns.
        as_text: Those that are read as they are written.
        options: How the file is written.
    """
    try:
        return pd.read_csv(
            path,
            names=list(names),
            sep=options.delimiter,
            header=None if options.no_header else 0,
            dtype=dict.fromkeys(as_text, str),
            # An empty cell is a fault, and NA may be the name of a class.
            keep_default_na=False,
            # In one piece: otherwise a column can change its type half way.
            low_memory=False,
            # An empty line among texts would be skipped, and rows miscounted.
            skip_blank_lines=len(names) > 1,
            encoding="utf-8-sig",
            # By content, not by the end of the name.
            compression="gzip" if is_gzip(path) else None,
        )
    except (ValueError, *DAMAGED):  # pandas' ParserError and UnicodeDecodeError, too
        return None


def may_be_padded(
    frame: pd.DataFrame, names: tuple[str, ...], roles: Mapping[str, str]
) -> bool:
    """pandas pads a short row with empty cells, whose other cells may be shifted.

    Where that is in a column that is looked at, it is found there.

    Args:
        frame: The table.
        names: All its columns.
        roles: Column -> what it is; `ignored` is not looked at.
    """
    last = names[-1]
    return roles[last] == "ignored" and bool(frame[last].isin(["", np.nan]).any())


def numbers(frame: pd.DataFrame, columns: Sequence[str]) -> np.ndarray | None:
    """float32 (examples, columns), or None if a cell is not a finite number."""
    features = np.empty((len(frame), len(columns)), dtype=np.float32)
    for index, name in enumerate(columns):
        column = frame[name]
        if not pd.api.types.is_numeric_dtype(column):
            # Also integers beyond 64 bits, which pandas leaves as objects.
            column = pd.to_numeric(column.astype(str), errors="coerce")
        with np.errstate(over="ignore"):
            features[:, index] = column
    return features if np.isfinite(features).all() else None


def texts(column: pd.Series) -> np.ndarray | None:
    """Object array of `str`, or None if a cell is empty."""
    column = column.astype(str)
    if (column.str.strip() == "").any():
        return None
    return column.to_numpy(dtype=object)
