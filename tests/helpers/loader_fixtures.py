"""The process that tries an export is a fork: it need not import TensorFlow."""

import pytest

from helpers import forked_worker
from helpers.forks import Forks
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
