"""A job on a real Slurm: whatever is done to it, its bits are those of a quiet one."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from helpers import killing, local_slurm

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        local_slurm.missing() is not None, reason=str(local_slurm.missing())
    ),
]
_EPOCHS = 40
_TRAIN = ("train", "mlp", "--epochs", _EPOCHS, "--units", 16, "--seed", 3)
# In float32 another number of workers rounds differently.
_LAW = 1e-3
# With a pause behind each epoch: the same training, of more than a minute.
_PAUSED = """
import time
import keras
from kerascale.recipes.mlp import Config, make_datasets, make_model

class Paused(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        time.sleep(1.5)

def make_callbacks(config):
    return [Paused()]
"""
_SAVES = ("--save-every-steps", 40, "--execution", "fixed")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    cluster = local_slurm.Slurm(tmp_path_factory.mktemp("slurm"), 2)
    yield cluster
    cluster.stop()


@pytest.fixture(scope="module")
def submit(slurm, tmp_path_factory):
    folder = tmp_path_factory.mktemp("jobs")

    (folder / "paused.py").write_text(_PAUSED)

    def run(name, *flags, recipe="mlp"):
        train = [recipe if word == "mlp" else word for word in _TRAIN]
        command = [
            "launch", "slurm", "--nodes", 2, *flags, "--", *train, *_SAVES,
            "--run-dir", name,
        ]  # fmt: skip
        subprocess.run(
            [sys.executable, "-m", "kerascale", *map(str, command)],
            cwd=folder, env=slurm.environ, check=True,
        )  # fmt: skip
        return folder / name

    return run


@pytest.fixture(scope="module")
def undisturbed(slurm, submit):
    run = submit("undisturbed")
    slurm.until(lambda: _is_ended(slurm, run), 300)
    return _results(run)


# Job -> since when it was seen to wait.
_waiting = {}


def _is_ended(slurm, run):
    """Whether no job is left; one that was requeued need not wait for long.

    One that is started in the second of its requeue is killed by Slurm 22.05, which
    has revoked what it starts with.
    """
    for line in slurm("squeue", "-h", "-o", "%i %T").splitlines():
        number, state = line.split()
        if state != "PENDING":
            _waiting.pop(number, None)
        elif time.monotonic() - _waiting.setdefault(number, time.monotonic()) > 3:
            update = ["scontrol", "update", f"JobId={number}", "StartTime=now"]
            subprocess.run(update, env=slurm.environ, capture_output=True, check=False)
    return not slurm("squeue", "-h")


def _until_half(slurm, run):
    slurm.until(lambda: re.search(rf"epoch +{_EPOCHS // 5}/", _log(run)))


def _log(run):
    path = pathlib.Path(f"{run}.slurm.log")
    return path.read_text(errors="replace") if path.exists() else ""


def _results(run):
    history = (run / "history.csv").read_text()
    last = run / "checkpoints" / "last.weights.h5"
    return {"history": history, **killing.weights(last)}


def _same(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert np.array_equal(value, other[name]), name


def _workers(name):
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        words = path.read_bytes().split(b"\0")
        if b"kerascale" in words and name.encode() in words and b"srun" not in words:
            found.append(int(path.parent.name))
    return found


def _requeue(slurm, job, run):
    slurm("scontrol", "requeue", job)


def _kill(slurm, job, run):
    os.kill(max(_workers(run.name)), signal.SIGKILL)


def _lose_node(slurm, job, run):
    slurm.kill_node("tn2")
    slurm.until(lambda: "PENDING" in slurm("squeue", "-h", "-o", "%T"), 120)
    slurm.start_node("tn2")


@pytest.mark.parametrize(
    ("disturb", "most_lost"), [(_requeue, 0), (_kill, 40), (_lose_node, 40)]
)
def test_same_bits_whatever_happens_to_it(
    slurm, submit, undisturbed, disturb, most_lost
):
    run = submit(disturb.__name__.strip("_"))
    (job,) = slurm("squeue", "-h", "-o", "%i").splitlines()
    _until_half(slurm, run)
    disturb(slurm, job, run)
    slurm.until(lambda: _is_ended(slurm, run), 400)
    log = _log(run)
    assert "resuming at step" in log, log
    if not most_lost:
        saved = int(log.partition("stopped on request after step ")[2].split(";")[0])
        assert f"resuming at step {saved} " in log
    _same(undisturbed, _results(run))


def test_with_a_node_less_it_goes_on_with_the_rest(slurm, submit, undisturbed):
    run = submit("fewer", "--min-nodes", 1)
    _until_half(slurm, run)
    assert "worker 0 of 2" in _log(run)
    slurm.kill_node("tn2")
    try:
        slurm.until(lambda: _is_ended(slurm, run), 400)
    finally:
        slurm.start_node("tn2")
    log = _log(run)
    assert "strategy: one_device" in log.partition("resuming at step")[0], log
    found = _results(run)
    assert len(found["history"].splitlines()) == _EPOCHS + 1
    for name, value in undisturbed.items():
        if name != "history":
            assert np.allclose(value, found[name], rtol=0, atol=_LAW), name
    slurm.until(lambda: slurm("sinfo", "-h", "-t", "idle", "-o", "%D") == "2")


def test_the_time_limit_is_a_stop_that_was_announced(slurm, submit, undisturbed):
    run = submit("limited", "--time", 2, "--save-seconds", 75, recipe="./paused.py")
    slurm.until(lambda: _is_ended(slurm, run), 900)
    log = _log(run)
    assert "goes on when the job is requeued" in log
    assert "DUE TO TIME LIMIT" not in log
    _same(undisturbed, _results(run))


def test_cancelled_it_has_saved_and_the_same_command_goes_on(
    slurm, submit, undisturbed
):
    run = submit("cancelled")
    _until_half(slurm, run)
    command = ["launch", "slurm", "cancel", run.name]
    subprocess.run(
        [sys.executable, "-m", "kerascale", *command],
        cwd=run.parent, env=slurm.environ, check=True,
    )  # fmt: skip
    slurm.until(lambda: not slurm("squeue", "-h"))
    time.sleep(5)
    assert not slurm("squeue", "-h"), "it was requeued"
    assert "stopped on request" in _log(run)
    submit("cancelled")
    slurm.until(lambda: _is_ended(slurm, run), 300)
    _same(undisturbed, _results(run))
