"""Hosts with networks of their own, whose cables are cut while they train together."""

import os
import random
import re
import subprocess
import sys
import time

import numpy as np
import pytest
from helpers import local_hosts

import kerascale as ks

pytestmark = pytest.mark.slow

# Steps that take their time, and all that has a state.
_RECIPE = """
import time
import keras
from kerascale.recipes.mlp import Config, make_datasets, make_model

class Slow(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        time.sleep(PAUSE)

def make_callbacks(config):
    return [Slow()]
"""
_EPOCHS = 20


@pytest.fixture(scope="module")
def hosts():
    why_not = local_hosts.missing()
    if why_not:
        pytest.skip(why_not)
    made = local_hosts.Hosts(3)
    yield made
    made.stop()


class Job:
    def __init__(self, hosts, folder, pause=0.05):
        self.hosts, self.folder = hosts, folder
        (folder / "slow.py").write_text(_RECIPE.replace("PAUSE", str(pause)))
        self.agents = {}

    def train(self):
        return [
            *("train", "./slow.py", "--epochs", str(_EPOCHS), "--run-dir", "run"),
            *("--save-every-steps", "20", "--dropout", "0.2"),
        ]

    def start(self, name):
        launch = ["launch", "hosts", "--hosts", "3", "--min-workers", "2"]
        launch += ["--name", name, "--address", self.hosts.address(name)]
        launch += ["--lost-seconds", "10", "--max-restarts", "1000"]
        command = [sys.executable, "-m", "kerascale", *launch, "--", *self.train()]
        with open(self.folder / f"{name}.err", "a") as err:
            self.agents[name] = subprocess.Popen(
                self.hosts.command(name, command),
                cwd=self.folder,
                env={
                    **os.environ,
                    "TF_NUM_INTRAOP_THREADS": "1",
                    # Their memory is one, which that of hosts is not.
                    "KERASCALE_ALL_REDUCE": "tensorflow",
                },
                stdout=subprocess.DEVNULL,
                stderr=err,
            )

    def said(self, name):
        return (self.folder / f"{name}.err").read_text()

    def trains(self, name, number, members, seconds):
        """Waits until so many train in a start after `number`; its number."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            starts = re.findall(
                r"start (\d+)[^\n]*?: (worker 0 on [^;\n.]*)", self.said(name)
            )
            if starts and int(starts[-1][0]) > number:
                if starts[-1][1].count("worker") == members and self._steps(name):
                    return int(starts[-1][0])
            assert self.agents[name].poll() is None, self.said(name)
            time.sleep(0.2)
        raise AssertionError(f"not {members} in {seconds} s:\n{self.said(name)}")

    def _steps(self, name):
        """Whether a step has been trained since the last start."""
        return re.search(
            r"epoch +\d+/", self.said("th1").rpartition(": start ")[2]
        ) or re.search(r"epoch +\d+/", self.said(name).rpartition(": start ")[2])

    def stop(self):
        for process in self.agents.values():
            process.terminate()
        for process in self.agents.values():
            process.wait(60)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The same training by one process."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "slow.py").write_text(_RECIPE.replace("PAUSE", "0"))
    job = Job(None, folder, 0)
    command = [sys.executable, "-m", "kerascale", *job.train()]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "run"


def _assert_same(run, other):
    one, two = ks.load_run(run), ks.load_run(other)
    for ours, theirs in zip(one.model.weights, two.model.weights, strict=True):
        ours, theirs = np.asarray(ours), np.asarray(theirs)
        scale = max(1e-3, float(np.abs(theirs).max()))
        assert float(np.abs(ours - theirs).max()) <= 1e-4 * scale
    for ours, theirs in zip(one.history["loss"], two.history["loss"], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)


def test_one_is_cut_off_and_comes_back(hosts, tmp_path, alone):
    job = Job(hosts, tmp_path)
    try:
        for name in hosts.names:
            job.start(name)
        first = job.trains("th1", 0, 3, 120)
        hosts.cut("th3")
        began = time.monotonic()
        second = job.trains("th1", first, 2, 60)
        print(f"two train {time.monotonic() - began:.0f} s after the cut")
        assert "th3: cut off" in job.said("th1")
        hosts.mend("th3")
        began = time.monotonic()
        job.trains("th1", second, 3, 60)
        print(f"three train {time.monotonic() - began:.0f} s after it was mended")
        assert [job.agents[n].wait(300) for n in hosts.names] == [0, 0, 0]
    finally:
        for name in hosts.names:
            hosts.mend(name)
        job.stop()
    _assert_same(tmp_path / "run", alone)


def test_cut_again_and_again(hosts, tmp_path, alone):
    """Cuts at random moments, of random hosts, the first worker's too."""
    cuts = int(os.environ.get("KERASCALE_TEST_CUTS", "5"))
    generator = random.Random(7)
    job = Job(hosts, tmp_path, 0.2 * cuts / 5)
    try:
        for name in hosts.names:
            job.start(name)
        number = job.trains("th1", 0, 3, 120)
        for _ in range(cuts):
            time.sleep(generator.uniform(0, 5))
            name = generator.choice(hosts.names)
            other = next(n for n in hosts.names if n != name)
            hosts.cut(name)
            number = job.trains(other, number, 2, 90)
            hosts.mend(name)
            number = job.trains(other, number, 3, 90)
        assert [job.agents[n].wait(600) for n in hosts.names] == [0, 0, 0]
    finally:
        for name in hosts.names:
            hosts.mend(name)
        job.stop()
    _assert_same(tmp_path / "run", alone)
