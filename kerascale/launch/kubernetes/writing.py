"""Writes manifests, and what is built and applied with them."""

import pathlib
from collections.abc import Mapping
from typing import Any

from kerascale._version import __version__
from kerascale.errors import RefusedError
from kerascale.launch import text_files

DOCKERFILE = "Dockerfile"
_DOCKERFILE = f"""\
# The image of each worker:  docker build -t IMAGE .  &&  docker push IMAGE
FROM python:3.11-slim
RUN pip install --no-cache-dir "kerascale[metrics]=={__version__}"
# A user without rights; the volume must be writable for it.
RUN useradd --uid 1000 kerascale
USER 1000
"""


def write(folder: str, objects: Mapping[str, Any], *, force: bool) -> list[str]:
    """Writes a file for each object, and a Dockerfile; the names.

    Args:
        folder: Made if it is not there.
        objects: File name -> object.
        force: Whether files that say something else are written over.

    Raises:
        RefusedError: If a file says something else, or the extra is not installed.
    """
    try:
        import yaml
    except ImportError as error:
        raise RefusedError(
            "launch kubernetes: expected the package pyyaml, which writes manifests. "
            "Received: none. Run: pip install 'kerascale[kubernetes]'"
        ) from error
    parent = pathlib.Path(folder)
    texts = {
        parent / name: yaml.safe_dump(each, sort_keys=False, width=100)
        for name, each in objects.items()
    }
    texts[parent / DOCKERFILE] = _DOCKERFILE
    other = [path.name for path in text_files.changed(texts)]
    if other and not force:
        raise RefusedError(
            f"write: expected a folder in which nothing else is said. Received: "
            f"{folder}, with other {', '.join(other)}. Pass --force True, or another "
            "folder."
        )
    text_files.write(texts)
    return [path.name for path in texts]
