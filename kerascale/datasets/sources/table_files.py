"""The files of a table or a text: one, a folder of them, or a pattern."""

import glob
import os
import re
from collections.abc import Sequence

from kerascale.datasets.sources.checks import check_file, listing
from kerascale.errors import RefusedError
from kerascale.runtime.console import say


def find(path: str, suffixes: Sequence[str], what: str) -> list[str]:
    """The files that a path stands for, sorted as people count: `part-2`, `part-10`.

    Args:
        path: A file, a folder, or a pattern such as `parts/*.csv`.
        suffixes: How the files in a folder end; others are left out, which is said.
        what: What a file should be, such as `a CSV file`.

    Raises:
        RefusedError: If there is none, or one may not be read.
    """
    if os.path.isdir(path):
        names = [name for name in os.listdir(path) if not name.startswith((".", "_"))]
        found = [n for n in names if n.lower().endswith(tuple(suffixes))]
        ignored = sorted(set(names) - set(found))
        if found and ignored:
            say(f"{path}: ignored {listing(ignored)}")
        found = [os.path.join(path, name) for name in found]
        where = f"a folder without any ({', '.join(suffixes)})"
    elif os.path.exists(path) or not glob.has_magic(path):
        check_file(path, what)
        return [path]
    else:
        found = list(filter(os.path.isfile, glob.glob(path, recursive=True)))
        where = "a pattern that no file has"
    if not found:
        raise RefusedError(
            f"Expected {what}, or several. Received: {path!r}, {where}. Check the path."
        )
    for file in found:
        check_file(file, what)
    return sorted(found, key=_as_people_count)


def _as_people_count(path: str) -> list[str | int]:
    # Text and numbers take turns, so that each is compared with its like.
    parts = re.split(r"([0-9]+)", path)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)]
