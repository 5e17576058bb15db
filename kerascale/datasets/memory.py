"""Data in memory: what fits, and work on it in parts."""

from collections.abc import Iterator

import numpy as np

from kerascale.datasets.raw import RawData
from kerascale.datasets.sources.image_files import available_bytes
from kerascale.errors import RefusedError

# Examples are read once, split into training, validation and test, and handed to
# TensorFlow: at the highest point two more copies exist beside what was read.
_MORE_COPIES = 2
_PART_BYTES = 32 * 2**20


def refuse_what_does_not_fit(raw: RawData, image_size: int | None = None) -> None:
    """Refuses data that training would not have the memory for.

    Args:
        raw: The data.
        image_size: Height and width to which its images are to be resized.

    Raises:
        RefusedError: Naming what is needed and what there is.
    """
    splits = [raw.train, raw.validation, raw.test]
    needed = _MORE_COPIES * sum(s.features.nbytes for s in splits if s is not None)
    if raw.kind == "image" and image_size:
        height, width = raw.train.features.shape[1:3]
        needed = needed * image_size**2 // (height * width)
    room = available_bytes()
    if needed > room:
        raise RefusedError(
            f"{raw.name}: expected data that fits in memory. Received: examples that "
            f"need {needed / 2**30:.1f} GiB more, where {room / 2**30:.1f} GiB are "
            "free. Take fewer or smaller examples (--image-size), or pass a tf.data "
            "pipeline from Python (kerascale.datasets.from_tf_data)."
        )


def parts(array: np.ndarray) -> Iterator[slice]:
    """Slices over the first axis, each of about 32 MiB."""
    row = max(1, array[:1].nbytes)
    step = max(1, _PART_BYTES // row)
    for start in range(0, len(array), step):
        yield slice(start, start + step)


def moments(
    features: np.ndarray, *, per_feature: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance in float64, in two passes over parts of the array.

    Args:
        features: Of shape (examples, ..., features).
        per_feature: Whether to keep the last axis; else one number over all.

    Returns:
        Mean and variance, of shape (features,) or ().
    """
    axes = tuple(range(features.ndim - 1)) if per_feature else None
    count = features.size // (features.shape[-1] if per_feature else 1)
    total = sum(features[p].sum(axis=axes, dtype=np.float64) for p in parts(features))
    mean = np.asarray(total / count)
    squares = sum(((features[p] - mean) ** 2).sum(axis=axes) for p in parts(features))
    return mean, np.asarray(squares / count)
