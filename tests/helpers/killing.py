"""Runs the recipe `killed.py`, and compares what such runs ended with."""

import dataclasses
import itertools
import json
import os
import pathlib
import re
import subprocess
import sys
import time

import h5py
import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kerascale.runs.checkpoint import Store

RECIPE = pathlib.Path(__file__).with_name("killed.py")

# Dropout, batch statistics, augmentation, AdamW and a cosine: all that has a state.
FIELDS = (
    "--residual True --filters 4 8 --dense-units 16 --optimizer adamw --schedule cosine"
    " --augment-shift 0.1 --batch-size 64 --epochs 3"
).split()
STEPS = 18  # Batches of 64 in an epoch of 1,145 examples.
ALL_STEPS = 3 * STEPS


@dataclasses.dataclass
class Ended:
    """How a command ended.

    Args:
        returncode: Its exit code.
        stdout: What it wrote.
        stderr: What it wrote; each run of white space is one blank in `text`.
        at: When, by the monotonic clock.
    """

    returncode: int
    stdout: str
    stderr: str
    at: float

    @property
    def text(self):
        return " ".join(self.stderr.split())

    def seconds_after(self, what):
        """Seconds from what was done to the run until it ended."""
        done = re.findall(rf"{what} at ([0-9.]+)", self.stderr)
        return self.at - float(done[-1])


@dataclasses.dataclass
class Runner:
    """Runs the recipe on the command line; things happen to it at chosen steps."""

    folder: pathlib.Path

    def command(self, run_dir, *arguments, workers=0, launch=(), fields=()):
        """What is typed; `workers` above 0 goes through `launch`."""
        command = ["train", str(RECIPE), *FIELDS, *fields, "--run-dir", str(run_dir)]
        if workers:
            launch = ["--workers", str(workers), *map(str, launch)]
            command = ["launch", *launch, "--", *command]
        return [sys.executable, "-m", "kerascale", *command, *map(str, arguments)]

    def environ(self, *, events="", worker=0, fault="", **more):
        return {
            **os.environ,
            "KERASCALE_TEST_EVENTS": events,
            "KERASCALE_TEST_WORKER": str(worker),
            "KERASCALE_FAULT": fault,
            **more,
        }

    def __call__(
        self,
        run_dir,
        *arguments,
        events="",
        workers=0,
        worker=0,
        fault="",
        fields=(),
        launch=(),
        shell="",
        **more,
    ):
        command = self.command(
            run_dir, *arguments, workers=workers, launch=launch, fields=fields
        )
        if shell:
            command = ["sh", "-c", shell, "sh", *command]
        finished = subprocess.run(
            command,
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=self.environ(events=events, worker=worker, fault=fault, **more),
            timeout=400,
            check=False,
            start_new_session=True,
        )
        return Ended(
            finished.returncode, finished.stdout, finished.stderr, time.monotonic()
        )


def state_of(run_dir):
    """Everything that was saved last, and the history file."""
    newest, skipped = Store(pathlib.Path(run_dir) / "checkpoints").newest()
    assert not skipped
    history = (pathlib.Path(run_dir) / "history.csv").read_bytes().decode()
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


def assert_same_records(run_dir, other):
    """Both runs left the same records, but for times, and the same weights."""
    assert records_of(run_dir) == records_of(other)
    curves = curves_of(run_dir)
    assert curves == curves_of(other)
    for curve in curves.values():
        steps = [step for step, _ in curve]
        assert all(one < next for one, next in itertools.pairwise(steps)), steps
    for name in ("best", "last"):
        ours, theirs = (
            _weights(pathlib.Path(r) / f"checkpoints/{name}.weights.h5")
            for r in (run_dir, other)
        )
        assert set(ours) == set(theirs)
        for path, array in ours.items():
            np.testing.assert_array_equal(array, theirs[path], path)


def records_of(run_dir):
    """The lines of `metrics.jsonl`, without what depends on time."""
    text = (pathlib.Path(run_dir) / "metrics.jsonl").read_text()
    times = ("seconds", "examples_per_second")
    return [
        {name: value for name, value in json.loads(line).items() if name not in times}
        for line in text.splitlines()
    ]


def curves_of(run_dir):
    """What TensorBoard would draw: (part, name) -> [(step, bytes of the value)]."""
    curves = {}
    for folder in sorted((pathlib.Path(run_dir) / "tensorboard").glob("*/")):
        events = EventAccumulator(str(folder), {"tensors": 0})
        events.Reload()
        for name in events.Tags()["tensors"]:
            curves[folder.name, name] = [
                (event.step, event.tensor_proto.SerializeToString())
                for event in events.Tensors(name)
            ]
    assert {part for part, _ in curves} == {"train", "validation"}
    return curves


def _weights(path):
    arrays = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: (
                arrays.update({name: item[()]})
                if isinstance(item, h5py.Dataset)
                else None
            )
        )
    return arrays
