"""Files of weights, as `save_weights` writes them, in a few milliseconds.

Keras looks for what to save in every attribute of every layer, and makes one dataset
after the other: that takes longer than many steps. From one save to the next nothing
changes but the numbers, so that they alone are written over those of the last file.
"""

import dataclasses
import errno
import math
import os
import pathlib
import shutil
import weakref

import keras
import numpy as np

from kerascale.engine import state
from kerascale.engine.compat import keras_private

# The last file is kept up to this size: in a larger one the numbers take the time.
_MOST_BYTES = 64 * 2**20
# Of a variable in such a file, beside its numbers, at most.
_OVERHEAD = 16 * 2**10


@dataclasses.dataclass(frozen=True)
class _Last:
    """A file of before.

    Args:
        content: Its bytes.
        places: Of each variable in it the place of its first byte.
        variables: All that the model had.
    """

    content: np.ndarray
    places: list[tuple[int, keras.Variable]]
    variables: list[keras.Variable]


_last: weakref.WeakKeyDictionary[keras.Model, _Last] = weakref.WeakKeyDictionary()


def content(model: keras.Model) -> bytes | memoryview:
    """What `model.save_weights` would write into a `.weights.h5` file.

    Args:
        model: Built.

    Returns:
        The file; it may change at the next call.
    """
    variables = state.variables(model)
    last = _last.get(model)
    if last is None or not _same(last.variables, variables):
        made, places = keras_private.weights_file(model)
        _last.pop(model, None)
        if len(made) <= _MOST_BYTES and all(_is_plain(*place) for place in places):
            _last[model] = _Last(
                np.frombuffer(made, np.uint8).copy(), places, variables
            )
        return made
    for place, variable in last.places:
        array = state.held(variable)
        last.content[place : place + array.nbytes] = array.reshape(-1).view(np.uint8)
    return last.content.data


def write(model: keras.Model, path: pathlib.Path) -> None:
    """Writes that file.

    Of a model that is cut over processes one variable after the other is put together,
    within `on_host`.

    Raises:
        OSError: If it cannot be written.
    """
    if not state.is_cut(model):
        # In memory first: HDF5 ends the process where a disk is full.
        path.write_bytes(content(model))
        return
    variables = state.variables(model)
    sizes = [math.prod(v.shape) * np.dtype(v.dtype).itemsize for v in variables]
    needed = sum(sizes) + _OVERHEAD * len(sizes)
    if shutil.disk_usage(path.parent).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    keras_private.write_weights(model, path)


def _same(ours: list[keras.Variable], theirs: list[keras.Variable]) -> bool:
    return len(ours) == len(theirs) and all(
        a is b for a, b in zip(ours, theirs, strict=True)
    )


def _is_plain(place: int | None, value: object) -> bool:
    """Whether a value is a variable's, byte by byte."""
    return place is not None and isinstance(value, keras.Variable)
