"""Runs the recipe `killed.py`, and compares what such runs ended with."""

import dataclasses
import os
import pathlib
import subprocess
import sys

import numpy as np

from kerascale.checkpoint import Store

RECIPE = pathlib.Path(__file__).with_name("killed.py")

# Dropout, batch statistics, augmentation, AdamW and a cosine: all that has a state.
FIELDS = (
    "--residual True --filters 4 8 --dense-units 16 --optimizer adamw --schedule cosine"
    " --augment-shift 0.1 --batch-size 64 --epochs 3"
).split()
STEPS = 18  # Batches of 64 in an epoch of 1,145 examples.


@dataclasses.dataclass
class Runner:
    """Runs the recipe on the command line, with signals at chosen steps."""

    folder: pathlib.Path

    def __call__(
        self, run_dir, *arguments, signals="", workers=0, worker=0, fault="", fields=()
    ):
        command = ["train", str(RECIPE), *FIELDS, *fields, "--run-dir", str(run_dir)]
        if workers:
            command = ["launch", "--workers", str(workers), "--", *command]
        return subprocess.run(
            [sys.executable, "-m", "kerascale", *command, *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env={
                **os.environ,
                "KERASCALE_TEST_SIGNALS": signals,
                "KERASCALE_TEST_WORKER": str(worker),
                "KERASCALE_FAULT": fault,
            },
            timeout=240,
            check=False,
        )


def state_of(run_dir):
    """Everything that was saved last, and the history file."""
    newest, skipped = Store(pathlib.Path(run_dir) / "checkpoints").newest()
    assert not skipped
    history = (pathlib.Path(run_dir) / "history.csv").read_text()
    return newest, history


def assert_same(run_dir, other):
    """Both runs ended in the same state, to the last bit."""
    (ours, history), (theirs, other_history) = state_of(run_dir), state_of(other)
    assert history == other_history
    assert ours.step == theirs.step
    assert set(ours.arrays) == set(theirs.arrays)
    for name, array in ours.arrays.items():
        np.testing.assert_array_equal(array, theirs.arrays[name], name)
    assert ours.metadata["history"] == theirs.metadata["history"]
