"""Those of a run's final metrics that are numbers."""

from collections.abc import Mapping
from typing import Any


def numbers(metrics: Mapping[str, Any]) -> dict[str, int | float]:
    """Name -> value, without tables, texts and truth values."""
    return {
        name: value
        for name, value in metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
