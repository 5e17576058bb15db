"""Where pages and pictures go, looked at before anything is made."""

import json
import os
import pathlib
from typing import Any

from kerascale.errors import RefusedError
from kerascale.runtime import atomic_files

# What a page begins with, so that a later one may replace it.
MARK = "<!doctype html>\n<!-- written by kerascale -->\n"


def problems_with_page(flag: str, path: pathlib.Path) -> list[str]:
    """Why a page cannot be written to a file: one that is there and is no page of ours.

    Args:
        flag: What the user has named it with.
        path: The file.
    """
    if not path.parent.is_dir() or path.is_dir():
        return [f"{flag}: expected a file in a folder that exists. Received: {path}"]
    if not path.exists():
        return [] if os.access(path.parent, os.W_OK) else [_unwritable(flag, path)]
    try:
        with path.open("rb") as file:
            is_ours = file.read(len(MARK)) == MARK.encode()
    except OSError:
        is_ours = False
    if not is_ours:
        return [
            f"{flag}: expected a new file, or a page that kerascale has written. "
            f"Received: {path}, which is something else. Name another file"
        ]
    return [] if os.access(path.parent, os.W_OK) else [_unwritable(flag, path)]


def problems_with_folder(flag: str, path: pathlib.Path) -> list[str]:
    """Why pictures cannot be written into a folder.

    Args:
        flag: What the user has named it with.
        path: The folder, which need not be there.
    """
    there = path if path.exists() else path.parent
    if not there.is_dir():
        return [f"{flag}: expected a folder, or a name for one. Received: {path}"]
    return [] if os.access(there, os.W_OK) else [_unwritable(flag, path)]


def write(path: pathlib.Path, content: bytes) -> None:
    """Writes a file that is either whole or as it was."""
    with atomic_files.replacing(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: pathlib.Path, content: Any) -> None:
    """Writes plain values as JSON, into a file that is either whole or as it was."""
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    write(path, text.encode())


def refuse_page_over_other(command: str, folder: pathlib.Path, name: str) -> None:
    """Refuses a command whose page cannot be written into a run folder.

    Args:
        command: The command, for the message.
        folder: The run folder.
        name: The page's file name.

    Raises:
        RefusedError: Saying what stands there.
    """
    problems = problems_with_page(command, folder / name)
    if problems:
        raise RefusedError(problems, heading=command)


def _unwritable(flag: str, path: pathlib.Path) -> str:
    return f"{flag}: expected a place that can be written. Received: {path}"
