"""Stores of checkpoints for the tests beside this file."""

import concurrent.futures
import contextlib
import itertools
import os
import pathlib
import subprocess
import sys
import tempfile
import threading

import ml_dtypes
import numpy as np

from kerascale.errors import SaveFailedError
from kerascale.runs.checkpoint import PartStore, Store, injected_faults
from kerascale.runtime.array_parts import ArrayParts, Piece

# In memory, where flushing costs nothing.
FAST = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
FILES = ("manifest.json", "state.json", "state.npz")


def arrays(step, size=100):
    """What tells one step from another, in every array."""
    return {f"layer/{index}": np.full(size, step + index / 8) for index in range(4)}


def save(store, step, size=100):
    """Saves a step that `assert_whole` knows."""
    return store.save(step, arrays(step, size), {"step": step})


def assert_whole(checkpoint, step, size=100):
    """It is that step, whole, and nothing else."""
    assert checkpoint.step == checkpoint.metadata["step"] == step
    assert list(checkpoint.arrays) == list(arrays(step))
    for name, array in arrays(step, size).items():
        np.testing.assert_array_equal(checkpoint.arrays[name], array)


def file(store, step, name):
    """A file of a checkpoint."""
    return store.folder / f"{step:012d}" / name


def hidden(folder):
    """The hidden names in a folder."""
    return [name for name in os.listdir(folder) if name.startswith(".")]


class Peers:
    """One of some processes that save together; here each is a thread."""

    def __init__(self, index, said, changed, count):
        self.index, self.count = index, count
        self.saves = itertools.count()
        self._said, self._changed = said, changed

    @classmethod
    def of(cls, count):
        """All of them."""
        said, changed = {}, threading.Condition()
        return [cls(index, said, changed, count) for index in range(count)]

    def say(self, name, text):
        with self._changed:
            assert name not in self._said
            self._said[name] = text
            self._changed.notify_all()

    def hear(self, name, *, may_never_come=False):
        with self._changed:
            assert self._changed.wait_for(lambda: name in self._said, 20)
            return self._said[name]

    def forget(self, name):
        with self._changed:
            for known in [n for n in self._said if n.startswith(name + "/")]:
                del self._said[known]


# Of a model of three processes: by rows, by columns of which one process has two
# blocks and one none, and by both.
CUT = {
    "by rows": [[(0, 2, 0, 4)], [(2, 4, 0, 4)], [(4, 6, 0, 4)]],
    "by columns": [[(0, 6, 0, 2), (0, 6, 2, 3)], [], [(0, 6, 3, 4)]],
    "by both": [[(0, 3, 0, 2)], [(0, 3, 2, 4), (3, 6, 0, 2)], [(3, 6, 2, 4)]],
}


def in_parts(step):
    """The whole arrays, and what each of three processes has of them."""
    values = np.arange(24, dtype="float32").reshape(6, 4)
    whole = {name: step + n * values for n, name in enumerate(CUT, 1)}
    whole["by columns"] = whole["by columns"].astype(ml_dtypes.bfloat16)
    own = [{"count": np.array(step)} for _ in range(3)]
    for name, cuts in CUT.items():
        for arrays, blocks in zip(own, cuts, strict=True):
            pieces = [
                Piece((a, c), whole[name][a:b, c:d].copy()) for a, b, c, d in blocks
            ]
            array = whole[name]
            arrays[name] = ArrayParts(array.shape, array.dtype, tuple(pieces))
    return {"count": np.array(step), **whole}, own


def of_three(folder, keep=3):
    """The stores of three processes that share a folder."""
    peers = Peers.of(3)
    rest = [PartStore(pathlib.Path(folder), own) for own in peers[1:]]
    return [Store(folder, keep=keep, peers=peers[0]), *rest]


def save_in_parts(stores, step, own=None):
    """Saves a step by three processes; returns what each of them raised, or None."""
    own = own or in_parts(step)[1]

    def save(store, arrays):
        try:
            store.save(step, arrays, {"step": step})
        except SaveFailedError as error:
            return error

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        return list(pool.map(save, stores, own))


@contextlib.contextmanager
def two_steps():
    """A store with the steps 10 and 20."""
    with tempfile.TemporaryDirectory(dir=FAST) as folder:
        store = Store(pathlib.Path(folder) / "checkpoints")
        save(store, 10)
        save(store, 20)
        yield store


def run(code, *arguments, fault="", timeout=60):
    """Runs Python code in a process of its own, with a fault or without."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, injected_faults.VARIABLE: fault},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
