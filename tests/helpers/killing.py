"""Runs the recipe `killed.py`, and compares what such runs ended with."""

import contextlib
import csv
import dataclasses
import itertools
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import h5py
import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from helpers.forks import Forks
from kerascale.launch.environment import free_ports
from kerascale.runs.checkpoint import Store

RECIPE = pathlib.Path(__file__).with_name("killed.py")

# Dropout, batch statistics, augmentation, AdamW and a cosine: all that has a state.
FIELDS = (
    "--filters 4 --optimizer adamw --schedule cosine"
    " --augment-shift 0.1 --batch-size 64 --epochs 3 --execution fixed"
).split()
STEPS = 18  # Batches of 64 in an epoch of 1,145 examples.
ALL_STEPS = 3 * STEPS
_LIMIT_SECONDS = 1200


def soon(seconds):
    """A limit in seconds, of a machine that is ours; longer on one that is busy."""
    return seconds * max(2.0, 2 * os.getloadavg()[0] / len(os.sched_getaffinity(0)))


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
    """Runs the recipe on the command line; things happen to it at chosen steps.

    Args:
        folder: The working directory.
        forks: Starts processes of one worker.
    """

    folder: pathlib.Path
    forks: Forks

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
        environ = self.environ(events=events, worker=worker, fault=fault, **more)
        if not (workers or shell):
            ended = self.forks.run(command[1:], cwd=self.folder, env=environ)
            return Ended(*ended, time.monotonic())
        if shell:
            command = ["sh", "-c", shell, "sh", *command]
        finished = subprocess.run(
            command,
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=environ,
            timeout=_LIMIT_SECONDS,
            check=False,
            start_new_session=True,
        )
        return Ended(
            finished.returncode, finished.stdout, finished.stderr, time.monotonic()
        )

    def start(self, run_dir, *arguments, stdout, stderr, fields=(), **environ):
        """Starts one process, and does not wait for it."""
        return self.forks.start(
            self.command(run_dir, *arguments, fields=fields)[1:],
            cwd=self.folder,
            env=self.environ(**environ),
            stdout=stdout.fileno(),
            stderr=stderr.fileno(),
        )

    def two(self, *arguments, **environ):
        """How two processes ended, started as a cluster manager does: at once.

        Each has a folder of its own, as on two hosts without a shared disk: `host0/run`
        and `host1/run`.
        """
        ports = free_ports(2)
        with contextlib.ExitStack() as stack:
            processes, files = [], []
            for index in range(2):
                host = self.folder / f"host{index}"
                host.mkdir(exist_ok=True)
                out = stack.enter_context(tempfile.TemporaryFile())
                err = stack.enter_context(tempfile.TemporaryFile("w+"))
                process = Runner(host, self.forks).start(
                    "run",
                    *arguments,
                    stdout=out,
                    stderr=err,
                    TF_CONFIG=tf_config(ports, index),
                    no_grpc_proxy="127.0.0.1",
                    CUDA_VISIBLE_DEVICES="",
                    # As `launch` sets it: threads add up in another order.
                    TF_NUM_INTRAOP_THREADS="1",
                    **environ,
                )
                stack.callback(process.kill)
                processes.append(process)
                files.append(err)
            codes = [process.wait() for process in processes]
            at = time.monotonic()
            for file in files:
                file.seek(0)
            return [
                Ended(code, "", file.read(), at)
                for code, file in zip(codes, files, strict=True)
            ]


def tf_config(ports, index):
    """What a cluster manager says to one of several workers on this machine."""
    workers = [f"127.0.0.1:{port}" for port in ports]
    task = {"type": "worker", "index": index}
    return json.dumps({"cluster": {"worker": workers}, "task": task})


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


def assert_same_of_killed(train, run_dir, other, steps, fields):
    """Killed behind some steps and gone on with, a training ends as another one did."""
    every = ("--save-every-steps", 5)
    for step in steps:
        events = f"step:{step}:SIGKILL"
        ended = train(run_dir, *every, events=events, fields=fields)
        assert ended.returncode == -9, ended.stderr
    _goes_on(train, run_dir, every, fields)
    assert_same(run_dir, other)


def assert_near_of_workers(train, run_dir, other, workers, fields):
    """Killed workers, with whom one goes on alone, have the history of another one."""
    every = ("--save-every-steps", 5)
    ended = train(
        run_dir,
        *every,
        events=f"step:{STEPS + 9}:SIGKILL",
        workers=workers,
        launch=("--max-restarts", 0),
        fields=fields,
    )
    assert ended.returncode not in (0, 2), ended.stderr
    _goes_on(train, run_dir, every, fields)
    expected = _history(other)
    np.testing.assert_allclose(_history(run_dir), expected, rtol=1e-3, atol=1e-3)


def _goes_on(train, run_dir, arguments, fields):
    last = train(run_dir, *arguments, fields=fields)
    assert last.returncode == 0, last.stderr
    assert "resuming at step" in last.stderr


def _history(run_dir):
    with open(run_dir / "history.csv", newline="") as file:
        return [[float(v) for v in row.values()] for row in csv.DictReader(file)]


def assert_same_so_far(run_dir, other):
    """The losses of all steps that a run has made are those of another, bit by bit."""
    ours = (pathlib.Path(run_dir) / "losses.bin").read_bytes()
    theirs = (pathlib.Path(other) / "losses.bin").read_bytes()
    assert ours
    assert ours == theirs[: len(ours)]


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
            weights(pathlib.Path(r) / f"checkpoints/{name}.weights.h5")
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


def weights(path):
    """Place in a weights file -> array."""
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
