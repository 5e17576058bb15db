"""Records of TFRecord files on their way into a packed data set."""

from typing import Any, NamedTuple

import numpy as np


class Bad(NamedTuple):
    """A record that cannot be used."""

    number: int
    reason: str
    lost_bytes: int = 0


class Good(NamedTuple):
    """A record as its schema says; a picture is encoded, or decoded by then.

    Its label is an `int`, or an array of targets.
    """

    number: int
    values: list[Any]
    label: Any


class Batch(NamedTuple):
    """Records of one file, in order; of its last ones `is_last` is true."""

    place: int
    split: str
    file: str
    records: list[Good | Bad]
    behind: int
    bytes_read: int
    is_last: bool


def bytes_of(record: Good | Bad) -> int:
    """About how much memory a record takes."""
    if isinstance(record, Bad):
        return 0
    return sum(
        value.nbytes if isinstance(value, np.ndarray) else len(value)
        for value in record.values
    )
