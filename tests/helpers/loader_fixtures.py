"""The process that tries an export is a fork: it need not import TensorFlow."""

import pathlib

import pytest

from helpers import forked_worker
from helpers.forks import Forks
from kerascale.serving import gate


@pytest.fixture(scope="session")
def tensorflow_forks(tmp_path_factory):
    """Starts processes that have TensorFlow, and neither Keras nor kerascale."""
    imports = ("-keras", "-kerascale", "tensorflow")
    started = Forks(tmp_path_factory.mktemp("forks"), imports)
    yield started
    started.close()


@pytest.fixture
def forked_loaders(tensorflow_forks, monkeypatch):
    """What exports from this process is tried by a fork."""
    monkeypatch.setenv(forked_worker.FORKS, str(tensorflow_forks.path))
    monkeypatch.setenv(forked_worker.WORKER, str(gate._SCRIPT))
    monkeypatch.setattr(gate, "_SCRIPT", pathlib.Path(forked_worker.__file__))
