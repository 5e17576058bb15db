"""The packages that draw and lay out pages; they come with an extra."""

import importlib.util

from kerascale.errors import RefusedError

_PACKAGES = ("jinja2", "matplotlib")


def refuse_without_packages(command: str) -> None:
    """Refuses before anything is read.

    Args:
        command: What needs them, for the message.

    Raises:
        RefusedError: Naming those that are missing, and how to install them.
    """
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise RefusedError(
            f"{command}: expected the packages of its extra. Received: no "
            f"{', '.join(missing)}. Run: pip install 'kerascale[report]'"
        )
