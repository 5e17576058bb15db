"""Shared by the tests of faults: a run that is killed, one that is not, the table."""

import dataclasses
import json
import pathlib
import shutil

import pytest

from helpers.commands import Command
from helpers.fault_table import FaultTable, note
from helpers.forks import Forks
from helpers.killing import STEPS, Ended, Runner
from helpers.shared import once


def pytest_configure(config):
    config.pluginmanager.register(FaultTable())


@pytest.fixture
def seen(request):
    """Tells the table of faults what a test has observed: `seen("exit 2 in 3 s")`.

    A test of several faults says which one it is: `seen("exit 2", "SIGTERM")`.
    """
    return lambda text, fault=None: note(request.node, text, fault)


@pytest.fixture
def command(tmp_path, monkeypatch, capfd):
    """Runs a command in this process, in an empty folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    return Command(folder, monkeypatch, capfd)


@pytest.fixture(scope="session")
def forks(tmp_path_factory):
    """Starts processes that need not import TensorFlow."""
    return Forks.of_session(tmp_path_factory, "forks")


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, forks):
    """A run that nothing happened to. No test changes it."""

    def make(folder):
        finished = Runner(folder, forks)("run")
        assert finished.returncode == 0, finished.stderr

    return once(tmp_path_factory, "undisturbed", make) / "run"


@pytest.fixture(scope="session")
def undisturbed_by_two(tmp_path_factory, forks):
    """A run on two workers that nothing happened to. No test changes it."""

    def make(folder):
        for finished in Runner(folder, forks).two():
            assert finished.returncode == 0, finished.stderr

    return once(tmp_path_factory, "undisturbed-by-two", make) / "host0" / "run"


@dataclasses.dataclass(frozen=True)
class Stopped:
    """A run that was stopped in its second epoch, and then went on.

    Args:
        half: The run folder as it was when the run had stopped. No test changes it.
        stopped: How the first part ended.
        whole: The run folder after the second part. No test changes it.
        finished: How the second part ended.
    """

    half: pathlib.Path
    stopped: Ended
    whole: pathlib.Path
    finished: Ended

    STEP = STEPS + 4
    # The writer may be at work on one when the next is due; it holds up the training.
    FLAGS = ("--save-every-steps", 2, "--keep-checkpoints", 9)


@pytest.fixture(scope="session")
def stopped(tmp_path_factory, forks):
    """A run that was stopped after step `Stopped.STEP`, and one that went on there."""

    def make(folder):
        train = Runner(folder, forks)
        # A shell is in the group too.
        stopped = train(
            "run",
            *Stopped.FLAGS,
            events=f"step:{Stopped.STEP}:group-SIGTERM",
            shell='trap : TERM; "$@"; exit $?',
        )
        shutil.copytree(folder / "run", folder / "half" / "run")
        both = [stopped, train("run", *Stopped.FLAGS)]
        text = json.dumps([dataclasses.asdict(ended) for ended in both])
        (folder / "ended.json").write_text(text)

    folder = once(tmp_path_factory, "stopped", make)
    one, other = (
        Ended(**each) for each in json.loads((folder / "ended.json").read_text())
    )
    return Stopped(folder / "half" / "run", one, folder / "run", other)


@pytest.fixture
def train(tmp_path, forks):
    """Runs the recipe in an empty folder."""
    return Runner(tmp_path, forks)
