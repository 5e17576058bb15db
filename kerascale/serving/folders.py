"""The folder of a version while it is written, which no server looks at."""

import contextlib
import os
import pathlib
import shutil
import tempfile
import time
from collections.abc import Iterator

from kerascale.errors import RefusedError
from kerascale.runtime import remote_paths

_WRITING = "writing-"
_STALE_SECONDS = 3600


@contextlib.contextmanager
def temporary(base: pathlib.Path) -> Iterator[pathlib.Path]:
    """A new folder beside the versions, of which nothing is left after an error.

    Args:
        base: The folder of the versions; made if it is not there.

    Raises:
        RefusedError: If it cannot be written.
    """
    remote_paths.refuse("destination", base, remote_paths.WRITE_HERE)
    is_new = not base.exists()
    try:
        base.mkdir(parents=True, exist_ok=True)
        _sweep(base)
        # Same filesystem, so that the rename is atomic; not a number, so that no
        # server loads it.
        folder = pathlib.Path(tempfile.mkdtemp(prefix=_WRITING, dir=base))
    except OSError as error:
        raise RefusedError(
            "destination: expected a folder that can be written. Received: "
            f"{error.filename or base} ({error.strerror})."
        ) from error
    try:
        _open_to_servers(folder)
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        if is_new and not any(base.iterdir()):
            base.rmdir()
        raise


def _sweep(base: pathlib.Path) -> None:
    """Removes what an export that was killed has left."""
    for left in base.glob(f"{_WRITING}*"):
        if time.time() - left.stat().st_mtime > _STALE_SECONDS:
            shutil.rmtree(left, ignore_errors=True)


def _open_to_servers(folder: pathlib.Path) -> None:
    """Gives the folder the mode that the umask gives to all others."""
    umask = os.umask(0)
    os.umask(umask)
    # Only this folder was made for us alone, by mkdtemp.
    folder.chmod(0o777 & ~umask)
