"""The loss of each step of a run: a file of numbers, each at the place of its step.

`losses.bin` holds a little-endian float64 for each batch that was trained, the first
at byte 0. A number that is not known is NaN. Each is written at its own place, so that
a run which goes on leaves no gap and no step twice.
"""

import pathlib

import numpy as np

_TYPE = np.dtype("<f8")


def write(path: pathlib.Path, first: int, losses: np.ndarray) -> None:
    """Writes the losses of steps that follow one another.

    Args:
        path: The file, which need not be there.
        first: Steps before them.
        losses: One number for each.
    """
    with open(path, "r+b" if path.exists() else "w+b") as file:
        known = file.seek(0, 2) // _TYPE.itemsize
        unknown = np.full(max(0, first - known), np.nan, _TYPE)
        file.seek(min(first, known) * _TYPE.itemsize)
        file.write(unknown.tobytes() + np.asarray(losses, _TYPE).tobytes())


def read(path: pathlib.Path) -> np.ndarray:
    """The loss of each step; empty where none was recorded."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return np.empty(0, _TYPE)
    # A kill may have cut off the last one.
    whole = len(content) // _TYPE.itemsize * _TYPE.itemsize
    return np.frombuffer(content[:whole], _TYPE)


def cut(path: pathlib.Path, steps: int) -> None:
    """Takes back what was recorded after a step; without any before, the file."""
    if not path.exists():
        return
    if steps == 0:
        path.unlink()
        return
    size = steps * _TYPE.itemsize
    if path.stat().st_size > size:
        with open(path, "r+b") as file:
            file.truncate(size)
