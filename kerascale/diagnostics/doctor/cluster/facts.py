"""What one host says of itself, to be compared with the others."""

import hashlib
import importlib.metadata
import pathlib
import platform
import socket
import time
from typing import Any

from kerascale._version import __version__
from kerascale.errors import RefusedError
from kerascale.runtime import free_memory

_PACKAGES = ("tensorflow", "keras")
_CHUNK = 2**20


def now() -> float:
    """This host's clock, in seconds since 1970."""
    return time.time()


def versions() -> dict[str, str]:
    """Name -> version of what must be the same on all hosts."""
    found = {"python": platform.python_version(), "kerascale": __version__}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def of_this_host(data: pathlib.Path | None, workers: tuple[str, ...]) -> dict[str, Any]:
    """What is compared.

    Args:
        data: A file or folder of data; None: it is not compared.
        workers: The addresses of TF_CONFIG.
    """
    return {
        "host": socket.gethostname(),
        "workers": list(workers),
        "versions": versions(),
        "sha256": None if data is None else sha256(data),
        "free_bytes": free_memory.available_bytes(),
    }


def sha256(path: pathlib.Path) -> str:
    """Of a file; of a folder over names and contents of all files in it.

    Raises:
        RefusedError: If it is not there.
    """
    digest = hashlib.sha256()
    files = (
        sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    )
    for file in files:
        if path.is_dir():
            digest.update(f"{file.relative_to(path).as_posix()}\n".encode())
        try:
            with file.open("rb") as opened:
                while chunk := opened.read(_CHUNK):
                    digest.update(chunk)
        except OSError as error:
            raise RefusedError(
                f"data: expected a file or folder that can be read. Received: {path} "
                f"({error.strerror})."
            ) from error
    return digest.hexdigest()
