"""Layouts say how each variable is cut, or name all that is wrong at once."""

import keras
import pytest

import kerascale as ks
from kerascale.engine.mesh import described
from kerascale.strategies import layouts, mesh_process
from kerascale.strategies.mesh import Mesh, parse
from kerascale.strategies.model_parallel import ModelParallel

_MODELS = {
    "mlp": lambda: (ks.models.MLP(8, units=(16, 16, 16), members=1), (None, 8)),
    "members": lambda: (ks.models.MLP(8, units=(16,), members=4), (None, 8)),
    "cnn": lambda: (ks.models.CNN(8, filters=(8, 16)), (None, 8, 8, 1)),
    "residual": lambda: (
        ks.models.CNN(8, filters=(8, 16), residual=True),
        (None, 8, 8, 1),
    ),
    "lstm": lambda: (ks.models.RNN(8, units=(8,)), (None, 6, 4)),
    "gru": lambda: (ks.models.RNN(8, units=(8,), cell="gru"), (None, 6, 4)),
    "transformer": lambda: (ks.models.Transformer(8, width=16), (None, 8, 8, 1)),
    "causal": lambda: (
        ks.models.CausalTransformer(64, max_length=8, width=16),
        (None, 8),
    ),
}


def _built(name):
    model, shape = _MODELS[name]()
    model.build(shape)
    return model


def _bytes(placements, mesh):
    return sum(placement.bytes_per_device(mesh) for placement in placements)


@pytest.mark.parametrize("name", _MODELS)
def test_shipped_layouts_speak_of_every_variable(name):
    strategy = ModelParallel(parse("data=2,model=4"))
    placements = described.assigned(_built(name), strategy)
    assert any("model" in placement.cut for placement in placements)


def test_attention_is_cut_by_columns_and_then_by_rows():
    placements = described.assigned(_built("causal"), ModelParallel(parse("model=4")))
    cuts = {p.variable.path.partition("block_0/")[2]: p.cut for p in placements}
    assert cuts["attention/query_key_value/kernel"] == (None, "model")
    assert cuts["attention/attention_output/kernel"] == ("model", None)
    assert cuts["attention/attention_output/bias"] == (None,)
    assert cuts["hidden/kernel"] == (None, "model")
    assert cuts["feedforward_output/kernel"] == ("model", None)


def test_fsdp_cuts_every_large_variable_along_its_largest_axis():
    mesh = parse("data=8")
    model = _built("causal")
    whole = _bytes(described.assigned(model, ModelParallel(parse("data=1"))), mesh)
    placements = described.assigned(model, ModelParallel(mesh, fully_sharded=True))
    assert _bytes(placements, mesh) <= 0.14 * whole
    (hidden,) = [p for p in placements if "block_0/hidden/kernel" in p.variable.path]
    assert hidden.cut == (None, "data")


def test_all_that_is_wrong_with_a_layout_is_named_at_once():
    variables = [
        layouts.Described("m/dense/kernel", (8, 6)),
        layouts.Described("m/dense/bias", (6,)),
        layouts.Described("m/other/kernel", (8, 6)),
    ]
    rules = layouts.rules_of(
        {"dense/kernel$": (None, "model"), "dense/bais$": (), (6,): ("modle",)}
    )
    with pytest.raises(ks.RefusedError) as caught:
        layouts.assign(variables, rules, Mesh({"data": 1, "model": 4}))
    text = str(caught.value)
    assert "m/dense/kernel of shape (8, 6)" in text
    assert "model=4 does not divide 6" in text
    assert "'dense/bais$': expected a rule that decides for a variable" in text
    assert "the mesh has no axis modle" in text
    assert "m/other/kernel of shape (8, 6): expected a rule that speaks of it" in text


def test_rules_by_kind_and_by_shape():
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, name="d")])
    rules = {(keras.layers.Dense, "kernel"): (None, "model"), (16,): ("model",)}
    strategy = ModelParallel(parse("model=4"), tuple(layouts.rules_of(rules)))
    cuts = [placement.cut for placement in described.assigned(model, strategy)]
    assert cuts == [(None, "model"), ("model",)]


def test_a_model_without_a_layout_is_refused():
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16)])
    with pytest.raises(ks.RefusedError, match="layout: expected one for Sequential"):
        described.assigned(model, ModelParallel(parse("model=4")))


@pytest.mark.parametrize(
    ("mesh", "message"),
    [
        ("data=2,model=x", "number of devices >= 1 for model"),
        ("data=2,data=4", "each axis once"),
        ("Data=2", "names of axes"),
        ("data", "number of devices >= 1 for data"),
    ],
)
def test_a_mesh_that_is_none_is_refused(mesh, message):
    with pytest.raises(ks.RefusedError, match=message):
        parse(mesh)


def test_a_process_for_a_mesh_has_its_devices():
    before = {"XLA_FLAGS": "--xla_cpu_enable_fast_math=false"}
    if mesh_process.extras.importlib.util.find_spec("jax") is None:
        with pytest.raises(ks.RefusedError, match=r"pip install 'kerascale\[jax\]'"):
            mesh_process.environment_for("fsdp", "data=8", before)
        return
    after = mesh_process.environment_for("fsdp", "data=2,model=4", before)
    assert after["KERAS_BACKEND"] == "jax"
    assert after["XLA_FLAGS"].endswith("--xla_force_host_platform_device_count=8")


def test_the_strategy_is_refused_on_another_backend(monkeypatch):
    monkeypatch.setattr(mesh_process, "refuse_without_jax", lambda strategy: None)
    with pytest.raises(ks.RefusedError, match="Set KERAS_BACKEND=jax"):
        ks.strategies.get("model_parallel", mesh="data=2")
    with pytest.raises(ks.RefusedError, match="mesh: expected none with the strategy"):
        ks.strategies.get("one_device", mesh="data=2")
