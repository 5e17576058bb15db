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


@pytest.fixture(scope="session")
def forked_loaders(tensorflow_forks):
    """What exports from this process is tried by a fork, from now on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(forked_worker.FORKS, str(tensorflow_forks.path))
        patch.setenv(forked_worker.WORKER, str(gate._SCRIPT))
        patch.setattr(gate, "_SCRIPT", pathlib.Path(forked_worker.__file__))
        yield
