"""dp-accounting; it comes with an extra."""

import importlib.util

INSTALL = "Run: pip install 'kerascale[privacy]'"


def missing() -> list[str]:
    """What is wrong where it is not installed, as a line; else nothing."""
    if importlib.util.find_spec("dp_accounting") is not None:
        return []
    return [
        "dp_clip: expected the package dp-accounting, which knows what a training "
        f"costs. Received: none. {INSTALL}"
    ]
