"""Packages that come with extras."""

import importlib.util
from collections.abc import Sequence

from kerascale.errors import RefusedError


def refuse_without(what: str, extra: str, names: Sequence[str]) -> None:
    """Refuses before anything is read.

    Args:
        what: The command or flag that needs them, for the message.
        extra: The extra that they come with.
        names: The packages, as they are imported.

    Raises:
        RefusedError: Naming those that are missing, and how to install them.
    """
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise RefusedError(
            f"{what}: expected the packages of its extra. Received: no "
            f"{', '.join(missing)}. Run: pip install 'kerascale[{extra}]'"
        )
