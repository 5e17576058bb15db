"""Optuna; it comes with an extra."""

import importlib.util
from collections.abc import Sequence

from kerascale.errors import RefusedError


def refuse_without(names: Sequence[str]) -> None:
    """Refuses before anything is read.

    Args:
        names: The packages that are needed.

    Raises:
        RefusedError: Naming those that are missing, and how to install them.
    """
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise RefusedError(
            "tune: expected the packages of its extra. Received: no "
            f"{', '.join(missing)}. Run: pip install 'kerascale[tune]'"
        )
