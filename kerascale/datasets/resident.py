"""Arrays as tensors, in memory that is read fast at random places."""

import numpy as np
import tensorflow as tf

# From here on NumPy asks the system for large pages: less is looked up at a gather of
# rows, and the copy has fewer pages to be given.
_LARGE_BYTES = 4 * 2**20
_ALIGNMENT = 64


def tensor(array: np.ndarray, dtype: str | None = None) -> tf.Tensor:
    """A copy of an array, on the CPU.

    Args:
        array: Of numbers, or anything else that `tf.constant` takes.
        dtype: What numbers are cast to; None: they are kept.

    Returns:
        A tensor of the same shape.
    """
    kept = np.dtype(dtype) if dtype in ("float32", "float64") else array.dtype
    if array.size * kept.itemsize < _LARGE_BYTES or kept.kind not in "iuf":
        with tf.device("CPU"):
            return tf.constant(array) if dtype is None else tf.cast(array, dtype)
    size = array.size * kept.itemsize
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    begin = -memory.ctypes.data % _ALIGNMENT
    copy = memory[begin : begin + size].view(kept).reshape(array.shape)
    np.copyto(copy, array, casting="same_kind")
    return tf.experimental.dlpack.from_dlpack(copy.__dlpack__())
