"""The packages that draw and lay out pages; they come with an extra."""

from kerascale.runtime import extras

_PACKAGES = ("jinja2", "matplotlib")


def refuse_without_packages(what: str) -> None:
    """Refuses before anything is read.

    Args:
        what: The command or flag that needs them, for the message.

    Raises:
        RefusedError: Naming those that are missing, and how to install them.
    """
    extras.refuse_without(what, "report", _PACKAGES)
