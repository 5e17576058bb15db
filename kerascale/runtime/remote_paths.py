"""Addresses of object stores, which are no paths of files."""

import os
import re

from kerascale.errors import RefusedError

# A path has lost one of the slashes.
_ADDRESS = re.compile(r"(s3|s3a|gs|gcs|az|abfs|abfss|hdfs|https?)://?[^/]")


# What to do where a folder is to be written.
WRITE_HERE = (
    "What is whole becomes visible by a rename, which an object store has not: write "
    "into a folder of this host, and copy it there when it is finished."
)


def is_remote(path: str | os.PathLike | None) -> bool:
    """Whether it is an address such as `s3://bucket/folder`."""
    return path is not None and _ADDRESS.match(os.fspath(path)) is not None


def refuse(name: str, path: str | os.PathLike | None, mend: str) -> None:
    """Refuses an address where a folder or file of this host is needed.

    Args:
        name: Of the flag or argument.
        path: A path or an address; None: there is none.
        mend: What to do.

    Raises:
        RefusedError: If it is an address.
    """
    if is_remote(path):
        raise RefusedError(
            f"{name}: expected a path in a file system. Received: {path}, an address "
            f"of an object store. {mend}"
        )
