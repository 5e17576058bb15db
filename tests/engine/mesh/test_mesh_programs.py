"""A process of a mesh finds what one before it has compiled."""

import importlib.util
import os

import pytest
from helpers import mesh_cells

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="the extra jax is not installed"
)

_TRAIN = f"""
import os, sys
from kerascale.strategies import mesh_process
os.environ.update(mesh_process.environment_for("fsdp", "data=2", os.environ))
import jax, keras, numpy as np
import kerascale as ks
seen = []
jax.monitoring.register_event_listener(lambda name, **_: seen.append(name))
sys.path.insert(0, {os.path.dirname(mesh_cells.__file__)!r})
import mesh_cells
mesh_cells.load()
found = mesh_cells.trained("mlp", ks.strategies.get("fsdp", mesh="data=2"))
hits, misses = (sum(name.endswith(end) for name in seen)
                for end in ("cache_hits", "cache_misses"))
print(found["history/loss"][-1].hex(), hits > 0, misses > 0)
"""


@pytest.mark.slow
def test_the_next_process_compiles_nothing(run_python, tmp_path):
    def trained(**more):
        env = {"KERASCALE_CACHE_DIR": str(tmp_path)} | more
        return run_python(_TRAIN, env=env).stdout.split()[-3:]

    loss, hits, misses = trained()
    assert (hits, misses) == ("False", "True")
    assert trained() == [loss, "True", "False"]
    # A damaged one is compiled anew, and so is everything where JAX shall keep nothing.
    (folder,) = (tmp_path / "mesh-programs").iterdir()
    largest = max(folder.iterdir(), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:1000])
    assert trained() == [loss, "True", "True"]
    assert trained(JAX_ENABLE_COMPILATION_CACHE="0")[:2] == [loss, "False"]
