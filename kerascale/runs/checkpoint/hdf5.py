"""HDF5 files of weights that somebody else has written."""

import os
import pathlib
from typing import IO, Any

from kerascale.errors import RefusedError

LARGEST = 16 * 2**30
# A dataset of this size may claim no more than so many times what is stored of it.
_FLOOR = 64 * 2**20
_EXPANSION = 100


def refuse_unsafe_weights(path: str | os.PathLike, *, max_bytes: int = LARGEST) -> None:
    """Refuses a `.weights.h5` file that is more than arrays.

    That is links to other files or other places, arrays whose bytes are in other
    files, arrays that claim far more memory than is stored, and whole models, whose
    loading would run code that they bring.

    Not covered: a file made to exploit an error in the HDF5 library itself; values
    that are no good; a file that is exchanged after it was looked at.

    Args:
        path: The file.
        max_bytes: How much memory all its arrays may take.

    Raises:
        RefusedError: If it is unsafe, or no HDF5 file.
    """
    path = pathlib.Path(path)
    if not path.name.endswith(".weights.h5"):
        raise RefusedError(
            f"weights: expected a .weights.h5 file. Received: {path}. Other HDF5 files "
            "can hold code; load it where you trust it, and save_weights there."
        )
    found = problems(path, max_bytes)
    if found:
        raise RefusedError(
            [
                f"weights: expected arrays alone. Received: {path}, which has "
                f"{reason}. Take it from somewhere else, or save_weights where you "
                "trust it"
                for reason in found
            ],
            heading=f"Refused {path}",
        )


def problems(file: pathlib.Path | IO[bytes], max_bytes: int) -> list[str]:
    """Why weights are refused; empty if they are not.

    Args:
        file: A path, or an open file.
        max_bytes: How much memory all arrays may take.
    """
    import h5py

    try:
        with h5py.File(file, "r") as root:
            if "model_config" in root.attrs:
                return ["a whole model, which can hold code"]
            return _walk(root, max_bytes)
    # Each byte of it fails in a way of its own.
    except (
        AttributeError,
        LookupError,
        OSError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        return [f"no HDF5 that can be read ({str(error)[:200]})"]


def _walk(root: Any, max_bytes: int) -> list[str]:
    import h5py

    seen, total, stack = set(), 0, [root]
    while stack:
        group = stack.pop()
        for name in group:
            place = f"{group.name}/{name}".replace("//", "/")[:200]
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                return [f"a link to another file at {place}: {link.filename!r:.200}"]
            if not isinstance(link, h5py.HardLink):
                return [f"a link at {place} ({type(link).__name__})"]
            item = group[name]
            # Links can go in a circle.
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                continue
            seen.add(address)
            if isinstance(item, h5py.Group):
                stack.append(item)
            elif isinstance(item, h5py.Dataset):
                reason = _reason(item)
                if reason:
                    return [f"{reason} at {place}"]
                total += item.nbytes
    if total > max_bytes:
        return [f"arrays of {total} bytes, where {max_bytes} are allowed"]
    return []


def _reason(dataset: Any) -> str | None:
    if dataset.external:
        return f"an array in another file, {dataset.external[0][0]!r:.200},"
    if dataset.is_virtual:
        return "an array made of other files"
    if dataset.dtype.hasobject:
        return "an array of Python objects"
    stored = dataset.id.get_storage_size()
    if dataset.nbytes > max(_FLOOR, _EXPANSION * stored):
        return f"an array that claims {dataset.nbytes} bytes and stores {stored},"
    return None
