"""Files as tensors: mapped, so that nothing of them is copied into memory."""

import mmap
import os
import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from kerascale.datasets import resident
from kerascale.datasets.packed import keeper
from kerascale.errors import RefusedError
from kerascale.runtime.free_memory import available_bytes

_ALIGNMENT = 64


def array(path: pathlib.Path, dtype: str, shape: Sequence[int]) -> np.ndarray:
    """A file of numbers, in C order and little-endian, as an array.

    Pages come from the file when they are first read, and stay in the system's cache
    of files, which gives way where memory is wanted. Nobody may write to the array: the
    system would end the process.

    Args:
        path: The file.
        dtype: Of its numbers.
        shape: Of the array.

    Raises:
        RefusedError: If the file cannot be read, or has another size.
    """
    kind = np.dtype(dtype).newbyteorder("<")
    expected = kind.itemsize * int(np.prod(shape, dtype=np.int64))
    try:
        with open(path, "rb") as file:
            found = os.fstat(file.fileno()).st_size
            if found != expected:
                raise RefusedError(
                    f"packed: expected {path} with {expected:,} bytes, as its manifest "
                    f"says. Received: {found:,} bytes. Copy the data set again, or "
                    "pack its source again."
                )
            if not expected:
                return np.zeros(shape, kind)
            mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise RefusedError(
            f"packed: expected a readable file {path}. Received: {error.strerror}."
        ) from error
    is_read_singly = expected > available_bytes() and hasattr(mmap, "MADV_RANDOM")
    if is_read_singly:
        # It will never be in the cache as a whole: what lies beside a row that is
        # read would only drive out other rows.
        mapping.madvise(mmap.MADV_RANDOM)
    keeper.watch(mapping)
    return np.asarray(_Readable(mapping, kind, tuple(shape), is_read_singly))


def is_read_singly(array: np.ndarray) -> bool:
    """Whether a page of a mapped array is read without those beside it.

    So it is with files that were larger than the memory that was free.
    """
    return isinstance(array.base, _Readable) and array.base.is_read_singly


class _Readable:
    """What NumPy makes an array of that TensorFlow takes over as it is.

    Of one that cannot be written it would make a copy. A mapping that can be written
    counts as memory that may be needed, though it never is: 30 GB of it would be
    refused on a machine of 24.
    """

    def __init__(
        self,
        mapping: mmap.mmap,
        dtype: np.dtype,
        shape: tuple[int, ...],
        is_read_singly: bool,
    ) -> None:
        self._mapping = mapping  # As long as the array is there.
        self.is_read_singly = is_read_singly
        address = np.frombuffer(mapping, np.uint8).ctypes.data
        self.__array_interface__ = {
            "version": 3,
            "shape": shape,
            "typestr": dtype.str,
            "data": (address, False),
        }


def tensor(array: np.ndarray) -> tf.Tensor:
    """A tensor over the memory of a mapped array, which is not copied.

    Another array may lie where TensorFlow takes no tensor: it aborts. It is copied.
    """
    if array.ctypes.data % _ALIGNMENT or not array.size:
        return resident.tensor(array)
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
