"""Processes that try exports and compressed models are forks: TensorFlow is there."""

import pytest

from helpers import forked_runtime, forked_worker
from helpers.forks import Forks
from kerascale.compression.measuring import runtime
from kerascale.serving import gate


@pytest.fixture(scope="session")
def tensorflow_forks(tmp_path_factory):
    """Starts processes that have TensorFlow, and neither Keras nor kerascale."""
    imports = ("-keras", "-kerascale", "tensorflow")
    return Forks.of_session(tmp_path_factory, "tensorflow-forks", imports)


@pytest.fixture(scope="session")
def forked_loaders(tensorflow_forks):
    """What exports from this process is tried by a fork, from now on."""
    with pytest.MonkeyPatch.context() as patch:
        forked_worker.stand_in(patch, tensorflow_forks, gate, "_SCRIPT")
        yield


@pytest.fixture(scope="session")
def forked_runtimes(forked_loaders, tensorflow_forks):
    """What `compress` measures runs in a fork, which need not import TensorFlow."""
    with pytest.MonkeyPatch.context() as patch:
        forked_runtime.stand_in(patch, tensorflow_forks, runtime)
        yield
