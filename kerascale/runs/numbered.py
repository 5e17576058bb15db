"""Folders that are called by the next free number."""

import pathlib


def make_next(parent: pathlib.Path) -> pathlib.Path:
    """Makes the folder behind the last one of those with numbers.

    Args:
        parent: The folder that they are in.
    """
    number = 1 + max(
        (int(p.name) for p in parent.iterdir() if p.name.isdecimal()), default=0
    )
    while True:
        try:
            (parent / str(number)).mkdir()
        except FileExistsError:  # Another process took the number just now.
            number += 1
        else:
            return parent / str(number)
