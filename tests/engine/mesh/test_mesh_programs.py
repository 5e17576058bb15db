"""Programs of a mesh: what they send, and that the next process finds them."""

import importlib.util
import os
import re

import pytest
from helpers import mesh_cells

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="the extra jax is not installed"
)

_BEGIN = f"""
import os, sys
from kerascale.strategies import mesh_process
mesh = "data=2,model=2"
os.environ.update(mesh_process.environment_for("fsdp", mesh, os.environ))
import jax, keras, numpy as np
import kerascale as ks
sys.path.insert(0, {os.path.dirname(mesh_cells.__file__)!r})
import mesh_cells
mesh_cells.load()
"""

_TRAIN = """
seen = []
jax.monitoring.register_event_listener(lambda name, **_: seen.append(name))
found = mesh_cells.trained("mlp", ks.strategies.get("fsdp", mesh=mesh))
hits, misses = (sum(name.endswith(end) for name in seen)
                for end in ("cache_hits", "cache_misses"))
print(found["history/loss"][-1].hex(), hits > 0, misses > 0)
"""

_PROGRAM = """
from kerascale.engine.mesh import prepare, rows
with ks.strategies.get("model_parallel", mesh=mesh).scope():
    model, x, y, _ = mesh_cells._CELLS["causal"]()
batch = x[:32], y[:32]
prepared = prepare.prepare(model, batch)
many = rows.put(tuple(t[None] for t in batch), prepared.places)
print(prepared.train.lowered(many).compile().as_text())
"""


@pytest.mark.slow
def test_normalizations_send_nothing_along_model(run_python):
    lines = run_python(_BEGIN + _PROGRAM).stdout.splitlines()
    sums = [x for x in lines if re.search(r" all-(reduce|gather)\(", x)]
    names = [x.partition('op_name="')[2].partition('"')[0] for x in sums]
    # Of products that were cut by rows; of gradients one sum is for all, along data.
    assert any("attention_output" in name for name in names)
    assert not [x for x in names if "_norm/" in x and "scatter-add" not in x]


@pytest.mark.slow
def test_the_next_process_compiles_nothing(run_python, tmp_path):
    def trained(**more):
        env = {"KERASCALE_CACHE_DIR": str(tmp_path)} | more
        return run_python(_BEGIN + _TRAIN, env=env).stdout.split()[-3:]

    loss, _, misses = trained()
    assert misses == "True"
    assert trained() == [loss, "True", "False"]
    # A damaged one is compiled anew, and so is everything where JAX shall keep nothing.
    (folder,) = (tmp_path / "mesh-programs").iterdir()
    largest = max(folder.iterdir(), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:1000])
    assert trained() == [loss, "True", "True"]
    assert trained(JAX_ENABLE_COMPILATION_CACHE="0")[:2] == [loss, "False"]
