"""Files of text that a user may have changed since they were written."""

import pathlib
from collections.abc import Mapping


def changed(texts: Mapping[pathlib.Path, str]) -> list[pathlib.Path]:
    """Those that are there, and say something else.

    Args:
        texts: File -> what it is to say.
    """
    return [p for p, text in texts.items() if p.exists() and p.read_text() != text]


def write(texts: Mapping[pathlib.Path, str]) -> None:
    """Writes all of them, and makes the folders that they are in."""
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
