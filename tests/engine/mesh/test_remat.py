"""What is computed again takes less memory, and trains the same."""

import importlib.util
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from helpers import mesh_cells

import kerascale as ks
from kerascale.cli import main

needs_jax = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="the extra jax is not installed"
)

_BEGIN = """
import json, os, sys
from kerascale.strategies import mesh_process
name, mesh, *modes = sys.argv[1:]
os.environ.update(mesh_process.environment_for(name, mesh, os.environ))
import keras, numpy as np
import kerascale as ks
from kerascale.engine.mesh import memory
from kerascale.strategies import model_parallel

def of_each_mode(make):
    for mode in modes:
        keras.utils.clear_session()
        keras.utils.set_random_seed(3)
        with model_parallel.undone():
            strategy = ks.strategies.get(name, mesh=mesh, remat=mode)
            with strategy.scope():
                model, x, y = make()
            taken = memory.of_step(model, (x[:32], y[:32]), 1)
            history = model.fit(x, y, batch_size=32, epochs=4, verbose=0)
            run = model.train_function
            flops = [run.flops_per_step(), run.computed_flops_per_step()]
        values = [np.abs(v.numpy()).sum(dtype="float64")
                  for v in model.variables if "float" in v.dtype]
        yield mode, {"loss": history.history["loss"], "weights": values,
                     "bytes": taken.program, "flops": flops}
"""

# A block with all that leaves a call in another way than by its outputs.
_OWN = """
class Block(keras.layers.Layer):
    is_block = True

    def __init__(self):
        super().__init__()
        self.hidden = keras.layers.Dense(32, "gelu", activity_regularizer="l2")
        self.norm = keras.layers.BatchNormalization()
        self.drop = ks.layers.Dropout(0.2)

    def build(self, shape):
        self.hidden.build(shape)
        self.norm.build((*shape[:-1], 32))

    def call(self, x, training=None):
        y = self.norm(self.hidden(x), training=training)
        self.add_loss(keras.ops.mean(y**2))
        return x + self.drop(y, training=training)

def make():
    parts = [keras.Input((32,)), *(Block() for _ in range(4)), keras.layers.Dense(2)]
    model = ks.scale(keras.Sequential(parts))
    model.compile(keras.optimizers.Adam(0.01), "mse")
    random = np.random.default_rng(1)
    return model, *(random.normal(size=(96, n)).astype("float32") for n in (32, 2))

print(json.dumps(dict(of_each_mode(make))))
"""

_TRANSFORMER = """
def make():
    model = ks.models.CausalTransformer(
        64, max_length=64, num_layers=6, num_heads=4, width=64, dropout=0.1
    )
    model.build((None, 64))
    model.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy")
    x = np.random.default_rng(1).integers(0, 64, (96, 65)).astype("int32")
    return model, x[:, :-1], x[:, 1:]

print(json.dumps(dict(of_each_mode(make))))
"""


def _compare(found, bound):
    plain = found["none"]
    assert plain["flops"][0] == plain["flops"][1] > 0
    for mode, own in found.items():
        # What is computed again is none of the model's.
        assert own["flops"][0] == plain["flops"][0]
        assert (own["flops"][1] > own["flops"][0]) == (mode != "none")
        for key in ("loss", "weights"):
            np.testing.assert_allclose(own[key], plain[key], rtol=bound, err_msg=mode)


@needs_jax
def test_a_block_of_ones_own_trains_the_same(run_python):
    done = run_python(_BEGIN + _OWN, "fsdp", "data=2", "none", "block")
    _compare(json.loads(done.stdout.splitlines()[-1]), 1e-5)


@needs_jax
@pytest.mark.slow
def test_all_of_a_models_layers_train_the_same(run_python):
    done = run_python(_BEGIN + _OWN, "fsdp", "data=2", "none", "full")
    _compare(json.loads(done.stdout.splitlines()[-1]), 1e-5)


@needs_jax
@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "mesh"),
    [("fsdp", "data=4"), ("model_parallel", "data=2,model=2")],
)
def test_a_transformer_takes_less_memory(strategy, mesh, run_python):
    modes = ("none", "block", "full")
    done = run_python(_BEGIN + _TRANSFORMER, strategy, mesh, *modes)
    found = json.loads(done.stdout.splitlines()[-1])
    taken = {mode: own["bytes"] / 2**20 for mode, own in found.items()}
    print(strategy, mesh, taken, found, file=sys.stderr)
    _compare(found, 1e-4)
    assert taken["block"] < 0.4 * taken["none"]
    assert taken["full"] < taken["block"]


_CELLS = ("causal", "transformer", "residual_cnn", "lstm", "accumulation_ema")


@needs_jax
@pytest.mark.slow
@pytest.mark.parametrize("mesh", ["fsdp:data=4", "data=2,model=2"])
@pytest.mark.parametrize("remat", ["block", "full"])
def test_the_result_is_that_of_one_device(mesh, remat, on_tensorflow, tmp_path):
    cells = _CELLS[:2] if remat == "block" else _CELLS
    command = [sys.executable, mesh_cells.__file__, str(tmp_path), mesh, *cells]
    names = ("KERAS_BACKEND", "XLA_FLAGS")
    env = {k: v for k, v in os.environ.items() if k not in names}
    env |= {mesh_cells.REMAT: remat}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr[-3000:]
    for name in cells:
        found = np.load(tmp_path / f"{name}.npz")
        for key, value in on_tensorflow(name).items():
            # Gradients that are zero but for rounding.
            if value.size and not key.endswith("query_key_value/bias"):
                np.testing.assert_allclose(
                    found[key], value, rtol=0, atol=1e-5, err_msg=f"{name} {key}"
                )


def test_where_it_cannot_be_had(capsys):
    assert main(["train", "mlp", "--strategy", "one_device", "--remat", "block"]) == 2
    assert (
        "remat: expected none with the strategy one_device" in capsys.readouterr().err
    )
    assert main(["estimate", "mlp", "--remat", "full"]) == 2
    assert "remat: expected with --strategy" in capsys.readouterr().err
    with pytest.raises(ks.RefusedError, match="remat: expected none, block, full"):
        ks.strategies.get("fsdp", mesh="data=1", remat="blocks")


@needs_jax
def test_a_model_without_blocks():
    from kerascale.engine.mesh import remat

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    remat.refuse_without_blocks(model, "full")
    with pytest.raises(ks.RefusedError, match="expected none or full for a model wi"):
        remat.refuse_without_blocks(model, "block")
