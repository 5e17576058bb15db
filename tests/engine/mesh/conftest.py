"""What models of a mesh are compared with, and who trains them."""

import os
import tempfile

import pytest
from helpers import mesh_cells
from helpers.forks import Forks

import kerascale as ks

# Of a process of JAX; one that a test starts gets its own.
_OWN = ("KERAS_BACKEND", "XLA_FLAGS", "TF_CONFIG")


@pytest.fixture(scope="module")
def on_tensorflow():
    mesh_cells.load()
    known = {}

    def get(name):
        if name not in known:
            known[name] = mesh_cells.trained(name, ks.strategies.get("one_device"))
        return known[name]

    return get


@pytest.fixture(scope="session")
def jax_forks(tmp_path_factory):
    """Starts processes that need not import TensorFlow, JAX and Keras."""
    imports = ("tensorflow", "jax", "keras")
    backend = {"KERAS_BACKEND": "jax"}
    return Forks.of_session(tmp_path_factory, "jax-forks", imports, backend)


@pytest.fixture(scope="session")
def in_jax(jax_forks):
    """Runs a file of Python in such processes, and waits for them.

    Args:
        arguments: The file's own.
        each: Of each process, what its environment has besides.
    """

    def run(file, *arguments, each=({},)):
        plain = {k: v for k, v in os.environ.items() if k not in _OWN}
        with tempfile.TemporaryFile() as said:
            output = {"stdout": said.fileno(), "stderr": said.fileno()}
            started = [
                jax_forks.start(
                    [file, *arguments], cwd=os.getcwd(), env=plain | more, **output
                )
                for more in each
            ]
            codes = [process.wait(1200) for process in started]
            said.seek(0)
            text = said.read().decode(errors="replace")
        assert codes == [0] * len(codes), text[-3000:]

    return run
