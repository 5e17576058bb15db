"""Values of TFDS features as the cells of a table."""

import numpy as np
import tensorflow_datasets as tfds

from kerascale.datasets.sources.tfds_leaf import Leaf

# Up to here float64 has every integer.
_ALL_INTEGERS = 2**53


def texts_of(leaf: Leaf, values: np.ndarray) -> np.ndarray:
    """Cells as a file would have them.

    Args:
        leaf: A number, word, text or class.
        values: Of shape (rows,).

    Returns:
        Object array of `str`, of shape (rows,); an empty one where there is no number
        (NaN) or no class (-1).
    """
    if isinstance(leaf.feature, tfds.features.ClassLabel):
        names = np.array([*leaf.feature.names, ""], object)  # -1 is the last.
        return names[values]
    if values.dtype == object:
        found = np.empty(len(values), object)
        found[:] = [decoded(value) for value in values]
        return found
    if values.dtype.kind != "f":
        return values.astype(str).astype(object)
    # The shortest text that gives the same number in the dtype of the feature.
    found = values.astype(str).astype(object)
    with np.errstate(invalid="ignore"):
        is_whole = (values == np.floor(values)) & (np.abs(values) < _ALL_INTEGERS)
    found[is_whole] = values[is_whole].astype(np.int64).astype(str)
    found[np.isnan(values)] = ""
    return found


def decoded(value: bytes | str) -> str:
    """A string of TFDS as text."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def numbers_of(
    leaves: tuple[Leaf, ...], columns: dict[str, np.ndarray]
) -> np.ndarray | None:
    """Columns of finite numbers as one array; None: some are no numbers, or gaps.

    Args:
        leaves: The columns, in their order.
        columns: Values of each, by name.

    Returns:
        float32 of shape (rows, columns).
    """
    if any(columns[leaf.name].dtype.kind not in "iuf" for leaf in leaves):
        return None
    if any(isinstance(leaf.feature, tfds.features.ClassLabel) for leaf in leaves):
        return None
    rows = len(columns[leaves[0].name])
    found = np.empty((rows, len(leaves)), np.float32)
    with np.errstate(over="ignore"):
        for place, leaf in enumerate(leaves):
            found[:, place] = columns[leaf.name]
    return found if np.isfinite(found).all() else None
