"""Dates as they are written: which forms are known, and what they stand for."""

import pandas as pd
import tensorflow as tf

from kerascale.datasets.tables.column import DateOrder

_TIME = r"(?:[T ]+(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?"
# Of RE2 and of Python; three numbers, then perhaps hours, minutes and seconds.
_YEAR_FIRST = r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})" + _TIME
_YEAR_LAST = r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})" + _TIME
PATTERNS = {"ymd": _YEAR_FIRST, "dmy": _YEAR_LAST, "mdy": _YEAR_LAST}
_PLACES = {"ymd": (0, 1, 2), "dmy": (2, 1, 0), "mdy": (2, 0, 1)}
_SECONDS = 86_400.0


def order_of(cells: pd.Series) -> tuple[DateOrder | None, bool]:
    """How all cells are written as dates; None: some are no dates.

    Args:
        cells: Texts without gaps; at least one.

    Returns:
        The order, and whether another one would fit as well.
    """
    if _are_dates(cells, "ymd"):
        return "ymd", False
    fits = [order for order in ("dmy", "mdy") if _are_dates(cells, order)]
    return (fits[0], len(fits) > 1) if fits else (None, False)


def are_dates(cells: pd.Series, order: DateOrder) -> pd.Series:
    """Which cells are dates in this order; bool."""
    parts = cells.str.extract(f"^{PATTERNS[order]}$")
    year, month, day = (parts[place] for place in _PLACES[order])
    # NaT where there is no such day.
    dates = pd.to_datetime(
        year + "-" + month + "-" + day, format="%Y-%m-%d", errors="coerce"
    )
    return dates.notna()


def _are_dates(cells: pd.Series, order: DateOrder) -> bool:
    return bool(are_dates(cells, order).all())


def parsed(cells: tf.Tensor, is_gap: tf.Tensor, order: DateOrder) -> tf.Tensor:
    """Dates as numbers, in a graph.

    Args:
        cells: Strings of shape (rows,).
        is_gap: bool of the same shape.
        order: How they are written.

    Returns:
        float32 of shape (rows, 4): days since 1970 with the time of day as a fraction,
        the day of the week from Monday on (0 to 6), the share of the year and that of
        the day that have passed. NaN where there is a gap.

    Raises:
        tf.errors.InvalidArgumentError: If a cell is no date.
    """
    pattern = f"^{PATTERNS[order]}$"
    is_date = tf.strings.regex_full_match(cells, PATTERNS[order]) | is_gap
    with tf.control_dependencies(
        [tf.debugging.assert_equal(is_date, True, f"expected dates, {order}")]
    ):
        cells = tf.where(is_gap, _EMPTY[order], cells)
    numbers = [
        tf.strings.to_number(
            tf.strings.regex_replace(
                tf.strings.regex_replace(cells, pattern, rf"\{i}"), "^$", "0"
            ),
            tf.int32,
        )
        for i in range(1, 7)
    ]
    year, month, day = (numbers[place] for place in _PLACES[order])
    hour, minute, second = (tf.cast(each, tf.float64) for each in numbers[3:])
    days, first = days_since_1970(year, month, day), days_since_1970(year, 1, 1)
    time = (hour * 3600 + minute * 60 + second) / _SECONDS
    whole = tf.cast(days, tf.float64)
    found = tf.stack(
        [
            whole + time,
            tf.cast((days + 3) % 7, tf.float64),
            tf.cast(days - first, tf.float64) / 365.25,
            time,
        ],
        axis=-1,
    )
    gap = tf.fill(tf.shape(found), tf.constant(float("nan"), tf.float64))
    return tf.cast(tf.where(is_gap[:, None], gap, found), tf.float32)


_EMPTY = {"ymd": "1970-01-01", "dmy": "01.01.1970", "mdy": "01/01/1970"}


def days_since_1970(year: tf.Tensor, month: tf.Tensor, day: tf.Tensor) -> tf.Tensor:
    """Days of the Gregorian calendar since 1970-01-01; int32.

    Years begin with March, so that the day that comes every four years is their last.
    """
    year = year - tf.cast(month <= 2, tf.int32)
    month = (month + 9) % 12
    of_year = (153 * month + 2) // 5 + day - 1
    of_era = 365 * year + year // 4 - year // 100 + year // 400 + of_year
    return of_era - 719_468
