"""Writes pages where the packages that draw and lay out are installed."""

import pathlib
from collections.abc import Callable

from kerascale.errors import RefusedError
from kerascale.reporting import output_paths, packages
from kerascale.runtime.console import say


def write(path: pathlib.Path, render: Callable[[], str]) -> str | None:
    """Writes a page.

    Args:
        path: The file.
        render: Gives the page; what it imports needs the packages.

    Returns:
        The file; None: it was not written, which is said.
    """
    try:
        packages.refuse_without_packages("tune")
    except RefusedError as error:
        say(f"no page is written. {error}")
        return None
    output_paths.write(path, render().encode())
    return str(path)
