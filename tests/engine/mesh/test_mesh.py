"""Training on a mesh gives what one device gives, on the TensorFlow backend.

Cells are trained in a process of JAX with several CPU devices, and here.
"""

import importlib.util

import numpy as np
import pytest
from helpers import mesh_cells, mesh_optimizers

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="the extra jax is not installed"
)

# Gradients that are zero but for rounding.
_LEFT_OUT = ("query_key_value/bias",)
_BOUNDS = {"mixed_bfloat16": 1e-1, "mixed_float16": 3e-2}
# An example whose two likeliest classes are equal but for rounding.
_ONE_EXAMPLE = 1.1 / mesh_cells.ROWS
_DEFAULT = ("causal",)


def _worst(expected, found, name):
    """The largest difference, in units of what is allowed."""
    assert {*expected, "share", "flops"} == {*found}
    bound = _BOUNDS.get(name, 1e-5)
    return {
        key: float(np.abs(value.astype("float64") - found[key]).max())
        / (max(bound, _ONE_EXAMPLE) if key.endswith("accuracy") else bound)
        for key, value in expected.items()
        if value.size and not key.endswith(_LEFT_OUT)
    }


@pytest.fixture(scope="module")
def on_four_devices(tmp_path_factory, in_jax):
    out = tmp_path_factory.mktemp("mesh")
    in_jax(mesh_cells.__file__, out, "data=2,model=2", *_DEFAULT)
    return out


@pytest.mark.parametrize("name", _DEFAULT)
def test_a_mesh_trains_what_one_device_trains(name, on_tensorflow, on_four_devices):
    found = np.load(on_four_devices / f"{name}.npz")
    worst = _worst(on_tensorflow(name), found, name)
    assert max(worst.values()) < 1, worst


def test_a_device_holds_its_part_of_weights_and_optimizer(on_four_devices):
    assert np.load(on_four_devices / "causal.npz")["share"] < 0.55


def test_operations_of_a_step_are_those_of_its_formula(on_four_devices):
    found = np.load(on_four_devices / "causal.npz")["flops"]
    tokens, width, length, words = mesh_cells.BATCH * 8, 16, 8, 24
    # Of all devices: 6 for each parameter of a product and token, and attention.
    products = 12 * width**2 + width * words
    assert found == tokens * (6 * products + 12 * length * width)


@pytest.mark.slow
def test_operations_are_those_of_tensorflows_graph(in_jax, tmp_path):
    cells = ("mlp", "transformer", "residual_cnn", "lstm", "gru", "mixed_bfloat16")
    in_jax(mesh_cells.__file__, tmp_path, "data=2,model=2", *cells)
    mesh_cells.load()
    for name in cells:
        found = np.load(tmp_path / f"{name}.npz")["flops"]
        assert found == mesh_cells.operations(name), name


# Data, model and hybrid, of 2, 4 and 8 devices.
_MESHES = (
    "data=2",
    "data=4",
    "data=8",
    "model=2",
    "model=4",
    "model=8",
    "data=2,model=2",
    "data=2,model=4",
    "data=4,model=2",
    "fsdp:data=8",
    "fsdp:data=2,model=4",
)


@pytest.mark.slow
@pytest.mark.parametrize("mesh", _MESHES)
def test_every_feature_on_every_mesh(mesh, on_tensorflow, in_jax, tmp_path):
    in_jax(mesh_cells.__file__, tmp_path, mesh)
    share = np.load(tmp_path / "causal.npz")["share"]
    assert share <= {"model=2": 0.55, "fsdp:data=8": 0.14}.get(mesh, 1)
    worst = {}
    for name in mesh_cells.names():
        found = _worst(on_tensorflow(name), np.load(tmp_path / f"{name}.npz"), name)
        key = max(found, key=found.get)
        worst[name] = found[key], key
    lines = [f"{name}: {key}: {x:.2g}" for name, (x, key) in worst.items()]
    print(f"{mesh}: differences, of what is allowed", *lines, sep="\n  ")
    assert max(x for x, _ in worst.values()) < 1, lines


def test_an_optimizer_begins_as_keras_makes_it(in_jax):
    in_jax(mesh_optimizers.__file__)
