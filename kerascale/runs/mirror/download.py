"""Brings a run folder back from an object store."""

import os
import pathlib
import shutil

from kerascale.errors import RefusedError
from kerascale.runs.mirror import generation
from kerascale.runs.mirror.generation import (
    GENERATIONS,
    OBJECTS,
    DamagedError,
    Generation,
)
from kerascale.runtime.console import say
from kerascale.runtime.object_folder import ObjectFolder


def fetch(address: str, folder: pathlib.Path) -> Generation:
    """Writes the newest whole copy of a run into a folder, which appears when it is.

    Args:
        address: Where `Mirror` has copied it to.
        folder: New or empty.

    Returns:
        What the run consists of.

    Raises:
        RefusedError: If there is no whole copy, or the folder holds something.
        ConnectionError: If the store does not answer.
        OSError: If the folder cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RefusedError(
            f"fetch: expected a new or empty folder. Received: {folder}, which holds "
            "something. Name another one."
        )
    source = ObjectFolder(address)
    names = [n for n in source.names(GENERATIONS) if generation.order_of(n)]
    partial = folder.with_name(f".{folder.name}.coming")
    problems = []
    for name in sorted(names, key=generation.order_of, reverse=True):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            found = generation.decode(source.read(f"{GENERATIONS}/{name}"))
            for path in found.files:
                _fetch_file(source, found, path, partial)
        except (DamagedError, FileNotFoundError) as error:
            problems.append(f"{name}: {error}")
            say(f"fetch: not whole, an older copy is looked at: {problems[-1]}")
            continue
        if folder.exists():
            folder.rmdir()
        os.replace(partial, folder)
        return found
    shutil.rmtree(partial, ignore_errors=True)
    told = "; ".join(problems) or "none is there"
    raise RefusedError(
        f"fetch: expected a run that kerascale mirror has copied. Received: {address}: "
        f"{told}. Check the address."
    )


def _fetch_file(
    source: ObjectFolder, found: Generation, name: str, folder: pathlib.Path
) -> None:
    size, sha256 = found.files[name]
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if source.fetch(f"{OBJECTS}/{sha256}", path) != sha256:
        raise DamagedError(f"{name}: bytes changed (the sha256 differs)")
    if path.stat().st_size != size:
        raise DamagedError(f"{name}: expected {size} bytes")
