"""Where an example came from: its file, or its text as it was written."""

import contextlib
import contextvars
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from kerascale.datasets import carried
from kerascale.datasets.raw import Kind, Split

_kept = contextvars.ContextVar("origins_are_kept", default=False)


@contextlib.contextmanager
def are_kept() -> Iterator[None]:
    """Data that is prepared inside keeps origins; a training has no memory for them."""
    token = _kept.set(True)
    try:
        yield
    finally:
        _kept.reset(token)


def kept() -> bool:
    """Whether origins are kept."""
    return _kept.get()


def of(
    kind: Kind, named: Mapping[str, Split], names: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """Split -> the origin of each example, in the order of their indices.

    Args:
        kind: Of the data.
        named: The splits as they were read: texts are not ids yet.
        names: Of a table's columns.

    Returns:
        Object arrays of `str`, of shape (examples,): paths of pictures, or texts; or
        the values of the column that is carried. Nothing of a split that does not know,
        or where origins are not kept.
    """
    if carried.name() is not None:
        return {k: s.files for k, s in named.items() if s.files is not None}
    if not _kept.get():
        return {}
    if kind == "text":
        return {name: split.features for name, split in named.items()}
    if kind == "table":
        return {name: _rows(split.features, names) for name, split in named.items()}
    found = {name: split.files for name, split in named.items()}
    return {name: files for name, files in found.items() if files is not None}


def _rows(features: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Rows of a table, as a person reads them."""
    found = np.empty(len(features), dtype=object)
    found[:] = [
        ", ".join(
            f"{name} = {cell or 'none'}" for name, cell in zip(names, row, strict=True)
        )
        for row in features
    ]
    return found
