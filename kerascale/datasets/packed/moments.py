"""Mean and variance of the training rows of a packed data set."""

import contextlib
import hashlib
import json
import pathlib
from typing import Any

import numpy as np

from kerascale.datasets import memory, resizing
from kerascale.datasets.host_rows import HostRows
from kerascale.datasets.packed.opened import Packed
from kerascale.runtime import atomic_files
from kerascale.runtime.cache_dir import cache_dir
from kerascale.runtime.console import say

_FOLDER = "packed-moments"
# From then on it takes seconds, and is said.
_MUCH_BYTES = 2**30
# Of decoded pictures whose pixels are counted: half a minute and more.
_PICTURE_BYTES = 2**30
# That are in memory at once.
_PICTURES = 256


def of_training(
    packed: Packed, rows: np.ndarray, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance in float64, to the last bit what `memory.moments` gives.

    Those of the rows as they were packed are in the manifest. Others are computed in
    two passes, and kept in the cache folder.

    Args:
        packed: Rows of one shape.
        rows: Those of the training.
        shape: Of an image as it is resized; else that of a row.
    """
    held = packed.manifest
    is_as_packed = rows is packed.index["train"] and shape == held.shape
    if is_as_packed and held.mean is not None:
        return _array(held.mean), _array(held.variance)
    path = _path(packed.manifest.fingerprint, rows, shape)
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(path.read_text())
        return _array(known["mean"]), _array(known["variance"])
    view = _View(packed.features, rows, shape)
    if view.size * view.dtype.itemsize > _MUCH_BYTES:
        say(f"data: reading {packed.name} for its mean and variance, once")
    found = memory.moments(view, per_feature=held.kind == "vector")
    _keep(path, *found)
    return found


def of_pictures(
    fingerprint: str, rows: np.ndarray, read: HostRows, shape: tuple[int, int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of all pixels of the training pictures, as they are resized.

    They are counted, value by value, which is exact. Of many pictures a fixed part is
    taken, which is said; it is the same on each machine.

    Args:
        fingerprint: Of the data, which decides its rows.
        rows: Those of the training.
        read: Gives the pictures of some rows.
        shape: Of a picture.
    """
    most = max(1, _PICTURE_BYTES // int(np.prod(shape)))
    chosen = rows
    if len(rows) > most:
        chosen = np.sort(rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)])
        say(
            f"data: mean and variance are those of {most:,} of {len(rows):,} training "
            "pictures"
        )
    path = _path(fingerprint, chosen, shape)
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(path.read_text())
        return _array(known["mean"]), _array(known["variance"])
    counts = np.zeros(256, np.int64)
    for start in range(0, len(chosen), _PICTURES):
        (pixels,) = read.arrays(chosen[start : start + _PICTURES])
        counts += np.bincount(pixels.reshape(-1), minlength=256)
    values = np.arange(256, dtype=np.float64)
    mean = np.asarray(np.dot(counts, values) / counts.sum())
    variance = np.asarray(np.dot(counts, np.square(values - mean)) / counts.sum())
    variance, _ = memory.without_constants(mean, variance)
    _keep(path, mean, variance)
    return mean, variance


def _keep(path: pathlib.Path, mean: np.ndarray, variance: np.ndarray) -> None:
    with contextlib.suppress(OSError):  # A cache that cannot be written: again then.
        path.parent.mkdir(parents=True, exist_ok=True)
        values = {"mean": mean.tolist(), "variance": variance.tolist()}
        with atomic_files.replacing(path, shared=True) as temporary:
            temporary.write_text(json.dumps(values))


def _array(values: Any) -> np.ndarray:
    return np.asarray(values, np.float64)


def _path(fingerprint: str, rows: np.ndarray, shape: tuple[int, ...]) -> pathlib.Path:
    digest = hashlib.sha256(json.dumps([fingerprint, shape]).encode())
    digest.update(np.ascontiguousarray(rows).data)
    return cache_dir() / _FOLDER / f"{digest.hexdigest()[:32]}.json"


class _View:
    """Rows as an array that is read in parts, resized where it has to be."""

    def __init__(
        self, features: np.ndarray, rows: np.ndarray, shape: tuple[int, ...]
    ) -> None:
        self._features = features
        self._rows = rows
        self.dtype = features.dtype
        self.shape = (len(rows), *shape)
        self.ndim = len(self.shape)
        self.size = int(np.prod(self.shape, dtype=np.int64))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, part: slice) -> np.ndarray:
        found = self._features[self._rows[part]]
        if found.shape[1:] == self.shape[1:]:
            return found
        return resizing.resized(found, self.shape[1])
