"""Files that are whole or as they were, whenever a process ends."""

import contextlib
import os
import pathlib
from collections.abc import Iterator


@contextlib.contextmanager
def replacing(
    path: pathlib.Path, *, shared: bool = False, durable: bool = False
) -> Iterator[pathlib.Path]:
    """A file to write to, which takes the place of `path` when the context ends.

    It is beside it, on the same filesystem, so that the replacement is atomic. Where
    something is raised, or nothing was written, `path` is as it was.

    Args:
        path: The file, which need not be there.
        shared: Whether several processes may write it at the same time.
        durable: Whether what was written must be on the disk before it is replaced.

    Raises:
        OSError: If it cannot be written or replaced.
    """
    own = f".{os.getpid()}" if shared else ""
    temporary = path.with_name(f".{path.name}{own}.tmp")
    try:
        yield temporary
        if durable:
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
