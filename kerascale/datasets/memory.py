"""Data in memory: what fits, and work on it in parts."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from kerascale.datasets import regions
from kerascale.datasets.raw import RawData
from kerascale.errors import TooLargeError
from kerascale.runtime.free_memory import available_bytes

_GIB = 2**30
_PART_BYTES = 2 * 2**20
# What TensorFlow, a model with its optimizer and the programs of XLA take beside the
# data. Where there is little data, it is not to blame if they do not fit.
_BESIDE_DATA_BYTES = 512 * 2**20
_LITTLE_BYTES = 32 * 2**20


def bytes_to_prepare(
    kept: int,
    *,
    is_split: bool,
    size_ratio: float | None = None,
    is_in_place: bool = False,
) -> int:
    """What training needs beside the examples as they were read.

    The examples of training, validation and test are copies where they are taken out
    of one split; images are resized; and TensorFlow has its own copy of all.

    Args:
        kept: Bytes of the examples as they were read.
        is_split: Whether validation or test examples are taken out of the training's.
        is_in_place: That is done where they are, and TensorFlow takes them as they are.
        size_ratio: Pixels of a resized image for each one that it had; None: no image
            is resized.
    """
    copies = kept if is_split else 0
    # For the moments, a part is in float64: up to eight bytes for each of its own.
    working = 8 * min(kept, _PART_BYTES)
    if size_ratio is None and is_in_place:
        return working
    if size_ratio is None:
        return copies + max(kept, working)
    resized = int(kept * size_ratio)
    # Each part is resized in float32, rounded and clipped, from one byte in a pixel.
    # TensorFlow keeps the memory for later.
    resizing = int(4 * min(kept, _PART_BYTES) * (1 + 3 * size_ratio))
    return copies + resized + resizing + max(resized, working)


def refuse_too_much(name: str, to_read: int, to_prepare: int) -> None:
    """Refuses data that training would not have the memory for.

    Args:
        name: What the user calls it.
        to_read: Bytes that reading takes at its highest point; 0: it is read already.
        to_prepare: Bytes that training takes at its highest point, with the data.

    Raises:
        TooLargeError: Naming what is needed, for what, and what there is.
    """
    room, data = available_bytes(), max(to_read, to_prepare)
    beside = _BESIDE_DATA_BYTES if data > _LITTLE_BYTES else 0
    if data + beside <= room:
        return
    reading = f"{to_read / _GIB:.1f} GiB to read them, " if to_read else ""
    more = "" if to_read else " more"
    raise TooLargeError(
        f"{name}: expected data that fits in memory. Received: examples that need "
        f"{(data + beside) / _GIB:.1f} GiB{more} ({reading}{to_prepare / _GIB:.1f} GiB "
        f"split, resized and handed to TensorFlow; {beside / _GIB:.1f} GiB for "
        f"TensorFlow and the model), where {room / _GIB:.1f} GiB are free. Take fewer "
        "or smaller examples (--image-size), or pack them: kerascale pack SOURCE DEST, "
        "and train with --dataset packed:DEST."
    )


def refuse_what_does_not_fit(
    raw: RawData, image_size: int | None = None, *, is_last_use: bool = False
) -> None:
    """Refuses data, which has been read, that training would not have the memory for.

    Args:
        raw: The data.
        image_size: Height and width to which its images are to be resized.
        is_last_use: Nobody needs `raw` any more: see `splits.three`.

    Raises:
        TooLargeError: Naming what is needed and what there is.
    """
    splits = [raw.train, raw.validation, raw.test]
    kept = sum(split.features.nbytes for split in splits if split is not None)
    ratio = None
    if raw.kind == "image":
        ratio = size_ratio(raw.train.features.shape[1:3], image_size)
    own = [split for split in splits if split is not None]
    in_place = is_last_use and all(regions.is_ours(split.features) for split in own)
    needed = bytes_to_prepare(
        kept, is_split=None in splits, size_ratio=ratio, is_in_place=in_place
    )
    refuse_too_much(raw.name, 0, needed)


def size_ratio(shape: tuple[int, ...], image_size: int | None) -> float | None:
    """Pixels of a resized image for each one of the image; None: it stays as it is.

    Args:
        shape: (height, width).
        image_size: The height and width that are wanted; or None.
    """
    if not image_size or tuple(shape) == (image_size, image_size):
        return None
    return image_size**2 / max(1, shape[0] * shape[1])


def parts(array: np.ndarray) -> Iterator[slice]:
    """Slices over the first axis, each of about 32 MiB."""
    row = max(1, array[:1].nbytes)
    step = max(1, _PART_BYTES // row)
    for start in range(0, len(array), step):
        yield slice(start, start + step)


@dataclasses.dataclass
class Sums:
    """How far `moments` is: sums over the first parts of an array.

    Args:
        total: Of the features, float or of shape (features,).
        num_totalled: Parts that are in `total`.
        squares: Of the squared distances from the mean.
        num_squared: Parts that are in `squares`.
    """

    total: Any = 0
    num_totalled: int = 0
    squares: Any = 0.0
    num_squared: int = 0


def moments(
    features: np.ndarray,
    *,
    per_feature: bool,
    sums: Sums | None = None,
    keep: Callable[[Sums], None] = lambda sums: None,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance in float64, in two passes over parts of the array.

    Args:
        features: Of shape (examples, ..., features); or what has `shape`, `size`,
            `ndim`, a length, and arrays by slices.
        per_feature: Whether to keep the last axis; else one number over all.
        sums: How far it was; None: from the beginning on.
        keep: Is given, after each part, how far it is.

    Returns:
        Mean and variance, of shape (features,) or ().
    """
    axes = tuple(range(features.ndim - 1)) if per_feature else None
    count = features.size // (features.shape[-1] if per_feature else 1)
    sums = Sums() if sums is None else sums
    for part in itertools.islice(parts(features), sums.num_totalled, None):
        total = features[part].sum(axis=axes, dtype=np.float64)
        sums.total, sums.num_totalled = sums.total + total, sums.num_totalled + 1
        keep(sums)
    mean = np.asarray(sums.total / count)
    for part in itertools.islice(parts(features), sums.num_squared, None):
        distances = features[part] - mean
        squares = np.square(distances, out=distances).sum(axis=axes)
        sums.squares, sums.num_squared = sums.squares + squares, sums.num_squared + 1
        keep(sums)
    return mean, np.asarray(sums.squares / count)


def without_constants(
    mean: np.ndarray, variance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The variance to divide by, and which features are constant.

    A feature that never changes in training has no scale: divided by its tiny
    deviation, another value in production would swamp all others.

    Args:
        mean: Of `moments`.
        variance: Of `moments`.

    Returns:
        The variance, 1 where a feature is constant; and where that is, as bool.
    """
    constant = variance <= 1e-12 * np.maximum(1.0, mean**2)
    return np.where(constant, 1.0, variance), constant
