"""Exports in other formats: what they cannot do is refused, with the reason."""

import sys

import keras
import pytest

import kerascale as ks
from kerascale import serving
from kerascale.serving import formats


def test_a_missing_extra_is_told(monkeypatch, tmp_path, exported):
    monkeypatch.setattr(formats.importlib.util, "find_spec", lambda name: None)
    for name, module in (("onnx", "tf2onnx"), ("litert", "ai_edge_litert")):
        match = rf"no {module}.*pip install 'kerascale\[{name}\]'"
        with pytest.raises(ks.RefusedError, match=match):
            serving.export_converted(exported("mlp").run, tmp_path / "x", format=name)
    assert list(tmp_path.iterdir()) == []


def test_texts_are_refused_by_formats_without_strings(monkeypatch, tmp_path, exported):
    monkeypatch.setattr(formats, "refuse_missing_modules", lambda name: None)
    with pytest.raises(ks.RefusedError, match=r"no string operations.*token ids"):
        serving.export_converted(
            exported("language_model").run, tmp_path / "x", format="onnx"
        )
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_format(tmp_path, exported):
    with pytest.raises(ks.RefusedError, match=r"one of onnx, litert\. Received: caffe"):
        serving.export_converted(exported("mlp").run, tmp_path, format="caffe")


def test_a_folder_holds_one_format(tmp_path):
    inputs = keras.Input((2,), name="x")
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "model.onnx").touch()
    with pytest.raises(ks.RefusedError, match="version 1 is of the format onnx"):
        ks.export_saved_model(model, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def test_listing_versions_imports_no_tensorflow(run_python):
    run_python(
        "import sys, kerascale.serving.versions, kerascale.cli.versions\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules"
    )
    assert "kerascale" in sys.modules


def test_a_model_of_mirrored_variables(run_python, tmp_path):
    """What was trained on several devices is exported by the process that did it."""
    code = """
import sys
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2
)
import kerascale as ks
recipe = ks.load_recipe("mlp")
config = recipe.Config(epochs=1, units=(4,))
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
run = ks.train(recipe, config, strategy=strategy, run_dir=sys.argv[1])
assert run.model.distribute_strategy.num_replicas_in_sync == 2
print(ks.export_saved_model(run, sys.argv[2]).name)
"""
    output = run_python(
        code, tmp_path / "run", tmp_path / "served", imported=True
    ).stdout
    assert output.splitlines()[-1] == "1"
