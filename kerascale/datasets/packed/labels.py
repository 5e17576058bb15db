"""The labels of all rows: from what the source gave to the indices of classes."""

import pathlib

import numpy as np

from kerascale.datasets.packed import layout
from kerascale.datasets.packed.growing import GrowingFile
from kerascale.datasets.packed.progress import Progress
from kerascale.datasets.packed.rows import Facts

_PART = 2**20


def targets_of(folder: pathlib.Path, progress: Progress, facts: Facts) -> np.ndarray:
    """The targets of all rows, which were written as they came.

    Args:
        folder: Where they are.
        progress: How many they are.
        facts: With the names of the targets.

    Returns:
        float32 of shape (rows, targets), mapped.

    Raises:
        ValueError: If their number is another one: the source is wrong.
    """
    shape = (progress.rows, len(facts.target_names))
    found = progress.sizes[layout.LABELS]
    if found != 4 * shape[0] * shape[1]:
        raise ValueError(
            f"{progress.source}: expected targets of shape {shape}. Received: {found} "
            "bytes of float32."
        )
    return np.memmap(folder / layout.LABELS, "<f4", "r", shape=shape)


def write_labels(folder: pathlib.Path, progress: Progress, facts: Facts) -> np.ndarray:
    """Writes the labels of all rows.

    Args:
        folder: Where their codes are.
        progress: How many they are.
        facts: What they stand for.

    Returns:
        Those of all rows, in the smallest dtype; of a corpus none.

    Raises:
        OSError: If they cannot be written.
        ValueError: If one is no class: the source is wrong.
    """
    count = progress.sizes[layout.CODES] // 8
    num_classes = len(facts.class_names)
    order = None if facts.order is None else np.asarray(facts.order, np.int64)
    # -1 is a row without a label.
    labels = np.empty(count, np.min_scalar_type(-max(1, num_classes)))
    file = GrowingFile(folder / layout.LABELS)
    try:
        with open(folder / layout.CODES, "rb") as codes:
            for start in range(0, count, _PART):
                part = np.fromfile(codes, "<i8", min(_PART, count - start))
                part = part if order is None else order[part]
                if len(part) and (part.min() < -1 or part.max() >= num_classes):
                    raise ValueError(
                        f"{progress.source}: expected labels in 0..{num_classes - 1}. "
                        f"Received: {part.min()}..{part.max()} from row {start} on."
                    )
                file.write(part)
                labels[start : start + len(part)] = part
        file.close()
    except BaseException:
        file.abandon()
        raise
    return labels
