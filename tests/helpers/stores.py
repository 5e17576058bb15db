"""Stores of checkpoints for the tests beside this file."""

import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

from kerascale.runs.checkpoint import Store, injected_faults

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
