"""`estimate`: counted and measured before a training, true in one."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest
from helpers import mesh_memory

import kerascale as ks
from kerascale.cli import main
from kerascale.diagnostics.estimate import amounts

_WIDE = {"width": 256, "num_layers": 4, "batch_size": 64}

_TRAINED = """
import json, sys
import tensorflow as tf
import kerascale as ks
from kerascale.config.fields import from_dict

name, fields, run_dir, out = sys.argv[1:]
recipe = ks.load_recipe(name)
run = ks.train(recipe, from_dict(recipe.Config, json.loads(fields)), run_dir=run_dir)
peak = tf.config.experimental.get_memory_info("CPU:0")["peak"]
status = dict(l.split(":", 1) for l in open("/proc/self/status"))
resident = int(status["VmHWM"].split()[0]) * 1024
with open(out, "w") as file:
    json.dump({"peak": peak, "resident": resident}, file)
"""


def _flags(fields):
    flags = []
    for key, value in fields.items():
        flags += [f"--{key.replace('_', '-')}"]
        flags += [str(v) for v in (value if isinstance(value, list) else [value])]
    return flags


@pytest.fixture(scope="module")
def small(recipe):
    config = recipe.Config(batch_size=256, units=(512,))
    return ks.estimate(recipe, config, workers=2, memory="4GiB")


def test_what_can_be_counted(small):
    assert small.parameters == 64 * 512 + 512 + 512 * 10 + 10
    assert small.weights_bytes == small.gradients_bytes == 4 * small.parameters
    assert small.sum_bytes == small.gradients_bytes
    # Two moments, the count of steps and the learning rate.
    assert 0 <= small.optimizer_bytes - 2 * small.weights_bytes < 100
    assert small.rows == small.measured_rows == 128
    assert small.batch_bytes == 128 * (64 + 8)  # uint8 pixels, an int64 label.
    assert small.steps_per_epoch == 5
    assert small.examples_per_epoch == 1145
    assert small.memory_bytes == 4 * 2**30
    assert small


def test_too_little_memory_is_exit_1(kerascale):
    flags = ("--batch-size", "64", "--units", "16", "--memory", "10MiB", "--json")
    finished = kerascale("estimate", "mlp", *flags)
    assert finished.returncode == 1, finished.stderr
    found = json.loads(finished.stdout.splitlines()[-1])
    assert not found["fits"]
    assert found["memory_bytes"] == 10 * 2**20
    assert "it does NOT fit" in finished.stderr


def test_amounts():
    assert amounts.parse("24GiB") == 24 * 2**30
    assert amounts.parse("1.5 GB") == amounts.parse("1.5g") == 1_500_000_000
    assert amounts.parse(1024) == 1024


def test_wrong_arguments_are_named_together(recipe, capsys):
    with pytest.raises(ks.RefusedError, match=r"workers: expected.*[\s\S]*memory: exp"):
        ks.estimate(recipe, workers=0, memory="lots")
    assert main(["estimate", "mlp", "--workers", "0", "--no-such", "1"]) == 2
    said = capsys.readouterr().err
    assert "--no-such" in said
    assert "workers: expected" in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("cnn", {"batch_size": 1024, "filters": [128, 256]}),
        ("transformer", {"batch_size": 512}),
        ("mlp", {"batch_size": 512, "units": [4096, 4096]}),
    ],
)
def test_as_much_as_a_training_takes(name, fields, kerascale, run_python, tmp_path):
    flags = _flags(fields)
    finished = kerascale("estimate", name, *flags, "--json", imported=False)
    estimate = json.loads(finished.stdout.splitlines()[-1])
    fields = {**fields, "epochs": 10, "execution": "fixed"}
    run_python(
        _TRAINED, name, json.dumps(fields), str(tmp_path / "run"), str(tmp_path / "out")
    )
    real = json.loads((tmp_path / "out").read_text())
    folder = sum(
        f.stat().st_size
        for f in (tmp_path / "run").rglob("*")
        if f.suffix in (".npz", ".h5", ".keras")
    )
    print(name, estimate["tensor_bytes"] / real["peak"],
          estimate["total_bytes"] / real["resident"],
          estimate["run_folder_bytes"] / folder, file=sys.stderr)  # fmt: skip
    assert estimate["tensor_bytes"] == pytest.approx(real["peak"], rel=0.15)
    assert estimate["total_bytes"] == pytest.approx(real["resident"], rel=0.15)
    assert estimate["run_folder_bytes"] == pytest.approx(folder, rel=0.15, abs=2e6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("transformer", {"batch_size": 1024, "width": 128, "patch_size": 2}),
        ("rnn", {"batch_size": 1024, "units": [512]}),
    ],
)
def test_it_never_fits_where_a_training_does_not(
    name, fields, kerascale, run_python, tmp_path, monkeypatch
):
    # Nothing is known of either training before.
    monkeypatch.setenv("KERASCALE_CACHE_DIR", str(tmp_path / "trained"))
    run_python(
        _TRAINED, name, json.dumps(fields), str(tmp_path / "run"), str(tmp_path / "out")
    )
    real = json.loads((tmp_path / "out").read_text())["resident"]
    monkeypatch.setenv("KERASCALE_CACHE_DIR", str(tmp_path / "estimated"))
    flags = _flags(fields)
    for memory, fits in ((round(0.95 * real), False), (round(1.3 * real), True)):
        own = (*flags, "--memory", str(memory), "--json")
        finished = kerascale("estimate", name, *own, imported=False)
        estimate = json.loads(finished.stdout.splitlines()[-1])
        print(name, real / 2**20, estimate["total_bytes"] / real, file=sys.stderr)
        assert finished.returncode == (0 if fits else 1), finished.stderr
    alone = estimate["tensor_bytes"] + estimate["process_bytes"]
    assert alone < 0.95 * real, "single steps would have shown it"


needs_jax = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="the extra jax is not installed"
)


@needs_jax
def test_what_a_device_of_a_mesh_needs(kerascale):
    flags = ("--batch-size", "64", "--units", "512", "--memory", "64KiB", "--json")
    mesh = ("--strategy", "fsdp", "--mesh", "data=4")
    finished = kerascale("estimate", "mlp", *flags, *mesh)
    assert finished.returncode == 1, finished.stderr
    found = json.loads(finished.stdout.splitlines()[-1])
    whole = 4 * (64 * 512 + 512 + 512 * 10 + 10)
    # The head's biases are whole on each device, and the seed of a generator.
    assert 0 <= found["weights_bytes"] - whole / 4 < 100
    assert 0 <= found["optimizer_bytes"] - whole / 2 < 200
    assert found["state_share"] == pytest.approx(0.25, abs=0.01)
    assert found["rows"] == 16
    # Forward, to the kernels, and to the input of the second layer; of all devices.
    products = 2 * 64 * (64 * 512 + 512 * 10)
    assert found["flops_per_step"] == 2 * products + 2 * 64 * 512 * 10
    assert "operations: 10.4 MFLOP a step, 2.59 MFLOP a device" in finished.stderr
    assert found["device_bytes"] > found["memory_bytes"] == 2**16
    assert "it does NOT fit" in finished.stderr


@needs_jax
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "fields", "strategy", "mesh", "remat"),
    [
        ("language_model", _WIDE, "fsdp", "data=8", "none"),
        ("language_model", _WIDE, "fsdp", "data=8", "block"),
        ("language_model", _WIDE, "model_parallel", "data=2,model=4", "none"),
        ("transformer", {"batch_size": 1024}, "fsdp", "data=4", "none"),
        ("mlp", {"batch_size": 512, "units": [4096, 4096]}, "fsdp", "data=4", "none"),
        ("mlp", {"units": [4096, 4096]}, "model_parallel", "data=1,model=2", "none"),
    ],
)
def test_as_much_as_a_device_of_a_mesh_takes(name, fields, strategy, mesh, remat):
    command = [sys.executable, mesh_memory.__file__, name, strategy, mesh]
    names = ("KERAS_BACKEND", "XLA_FLAGS")
    own = {k: v for k, v in os.environ.items() if k not in names}
    # The C library keeps what was freed of pieces below a limit that grows with them.
    own["MALLOC_MMAP_THRESHOLD_"] = "65536"
    done = subprocess.run(
        [*command, json.dumps(fields), remat], capture_output=True, text=True, env=own
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    ratio = found["estimated"] / found["seen"]
    print(name, strategy, mesh, remat, ratio, found, file=sys.stderr)
    assert 0.9 < ratio < 1.1


def test_a_mesh_without_a_strategy_is_refused(capsys):
    assert main(["estimate", "mlp", "--mesh", "data=4"]) == 2
    assert "mesh: expected with --strategy. Received: without it" in (
        capsys.readouterr().err
    )
    assert main(["estimate", "mlp", "--strategy", "fsdp", "--workers", "2"]) == 2
    assert "workers: expected 1 with --strategy" in capsys.readouterr().err
