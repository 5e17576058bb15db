"""A CSV file as pandas reads it, and columns of it as arrays."""

from collections.abc import Mapping, Sequence
from typing import Any

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
        return frame_of(
            path,
            names,
            dict.fromkeys(as_text, str),
            options,
            has_header=not options.no_header,
            # By content, not by the end of the name.
            compression="gzip" if is_gzip(path) else None,
        )
    except (ValueError, *DAMAGED):
        return None


def frame_of(
    source: Any,
    names: tuple[str, ...],
    dtypes: Mapping[str, Any],
    options: CsvOptions,
    *,
    has_header: bool,
    encoding: str = "utf-8-sig",
    compression: str | None = None,
) -> pd.DataFrame:
    """A table, or a part of one, as pandas reads it.

    Args:
        source: A path, or a file of bytes.
        names: All columns.
        dtypes: Of columns; the others are read as pandas likes.
        options: How it is written.
        has_header: Whether its first line is one.
        encoding: Of its bytes.
        compression: As pandas takes it.

    Raises:
        ValueError: pandas' ParserError and UnicodeDecodeError, too.
    """
    return pd.read_csv(
        source,
        names=list(names),
        sep=options.delimiter,
        header=0 if has_header else None,
        dtype=dict(dtypes),
        # An empty cell is a fault, and NA may be the name of a class.
        keep_default_na=False,
        # In one piece: otherwise a column can change its type half way.
        low_memory=False,
        # An empty line among texts would be skipped, and rows miscounted.
        skip_blank_lines=len(names) > 1,
        encoding=encoding,
        compression=compression,
    )


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
