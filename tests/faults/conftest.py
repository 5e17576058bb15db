"""Shared by the tests of faults: a run that is killed, and one that is not."""

import pytest
from killing import Runner


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """A run that nothing happened to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    finished = Runner(folder)("run")
    assert finished.returncode == 0, finished.stderr
    return folder / "run"


@pytest.fixture
def train(tmp_path):
    """Runs the recipe in an empty folder."""
    return Runner(tmp_path)
