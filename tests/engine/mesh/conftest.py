"""What models of a mesh are compared with."""

import pytest
from helpers import mesh_cells

import kerascale as ks


@pytest.fixture(scope="module")
def on_tensorflow():
    mesh_cells.load()
    known = {}

    def get(name):
        if name not in known:
            known[name] = mesh_cells.trained(name, ks.strategies.get("one_device"))
        return known[name]

    return get
