"""Arrays as tensors, in memory that is read fast at random places."""

import gc
import sys
import threading

import numpy as np
import tensorflow as tf

from kerascale.datasets import regions

# From here on NumPy asks the system for large pages: less is looked up at a gather of
# rows, and the copy has fewer pages to be given.
_LARGE_BYTES = 4 * 2**20
_ALIGNMENT = 64

# Memory that was given out, the newest last. What is not used any more is given out
# again, to the next `fit` on as many bytes: on a virtual machine new memory was seen to
# take 20 times as long as the copy.
_kept: list[np.ndarray] = []
_MOST_KEPT_BYTES = 256 * 2**20
# It takes some tenths of a second: not done for each `fit` on little data, but before
# many of them hold as much.
_WORTH_COLLECTING_BYTES = 64 * 2**20
_lock = threading.Lock()


def tensor(array: np.ndarray, dtype: str | None = None) -> tf.Tensor:
    """A copy of an array, on the CPU; of one that was given up, the same memory.

    Args:
        array: Of numbers, or anything else that `tf.constant` takes. See
            `regions.give_up`.
        dtype: What numbers are cast to; None: they are kept.

    Returns:
        A tensor of the same shape.
    """
    if dtype in (None, str(array.dtype)) and regions.is_given_up(array):
        return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
    kept = np.dtype(dtype) if dtype in ("float32", "float64") else array.dtype
    if array.size * kept.itemsize < _LARGE_BYTES or kept.kind not in "iuf":
        with tf.device("CPU"):
            return tf.constant(array) if dtype is None else tf.cast(array, dtype)
    size = array.size * kept.itemsize
    memory = _memory(size + _ALIGNMENT)
    begin = -memory.ctypes.data % _ALIGNMENT
    copy = memory[begin : begin + size].view(kept).reshape(array.shape)
    np.copyto(copy, array, casting="same_kind")
    return tf.experimental.dlpack.from_dlpack(copy.__dlpack__())


def _memory(size: int) -> np.ndarray:
    """So many bytes, in which nothing is."""
    with _lock:
        memory = _unused(size)
        held = sum(each.size for each in _kept if each.size == size)
        if memory is None and held >= _WORTH_COLLECTING_BYTES:
            gc.collect()  # The datasets of an earlier `fit` are cycles that hold it.
            memory = _unused(size)
        if memory is None:
            memory = np.empty(size, np.uint8)
            _kept.append(memory)
        while sum(each.size for each in _kept) > _MOST_KEPT_BYTES:
            del _kept[0]
        return memory


def _unused(size: int) -> np.ndarray | None:
    (nobody,) = _holders([np.empty(0)])
    for memory, holders in zip(_kept, _holders(_kept), strict=True):
        if memory.size == size and holders == nobody:
            return memory
    return None


def _holders(memories: list[np.ndarray]) -> list[int]:
    """How many hold each of them, the list and this function included."""
    return [sys.getrefcount(memory) for memory in memories]
