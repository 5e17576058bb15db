"""Shared by the tests of faults: a run that is killed, one that is not, the table."""

import pytest

from helpers.commands import Command
from helpers.fault_table import FaultTable, note
from helpers.killing import Runner


def pytest_configure(config):
    config.pluginmanager.register(FaultTable())


@pytest.fixture
def seen(request):
    """Tells the table of faults what a test has observed: `seen("exit 2 in 3 s")`."""
    return lambda text: note(request.node, text)


@pytest.fixture
def command(tmp_path, monkeypatch, capfd):
    """Runs a command in this process, in an empty folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    return Command(folder, monkeypatch, capfd)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """A run that nothing happened to."""
    return _undisturbed(tmp_path_factory, workers=0)


@pytest.fixture(scope="session")
def undisturbed_by_two(tmp_path_factory):
    """A run on two workers that nothing happened to."""
    return _undisturbed(tmp_path_factory, workers=2)


def _undisturbed(tmp_path_factory, workers):
    folder = tmp_path_factory.mktemp("undisturbed")
    finished = Runner(folder)("run", workers=workers)
    assert finished.returncode == 0, finished.stderr
    return folder / "run"


@pytest.fixture
def train(tmp_path):
    """Runs the recipe in an empty folder."""
    return Runner(tmp_path)
