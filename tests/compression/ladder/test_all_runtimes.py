"""`kerascale compress` as a user types it, in LiteRT, ONNX Runtime and TensorFlow.

The figures of the documentation are those of these commands. The extra takes a minute
to install, so that this is run before a release.
"""

import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import time

import pytest
from helpers import serving_environments as environments
from helpers.shared import once

import kerascale as ks

pytestmark = pytest.mark.slow
ROOT = pathlib.Path(ks.__file__).parent.parent


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, what it printed, and its result."""

    code: int
    text: str
    result: dict


def _command(arguments):
    python = environments.get("compress", environments.COMPRESS, on_top=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.Popen(
        [python, "-m", "kerascale", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def _kerascale(*arguments):
    process = _command(arguments)
    out, err = process.communicate(timeout=1800)
    lines = out.splitlines()
    return Ended(process.returncode, err, json.loads(lines[-1]) if lines else {})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run of a recipe, as `kerascale train RECIPE` makes it."""

    def get(name):
        def make(root):
            recipe = ks.load_recipe(name)
            ks.train(recipe, recipe.Config(), run_dir=root / "run")

        return once(tmp_path_factory, f"whole-{name}", make) / "run"

    return get


def _row(result, level, runtime):
    (row,) = (
        row
        for row in result["rows"]
        if (row["level"], row["runtime"]) == (level, runtime)
    )
    return row


def test_cnn(run, tmp_path):
    folder = run("cnn")
    ended = _kerascale("compress", folder, "--json")
    assert ended.code == 0, ended.text
    before, int8 = (_row(ended.result, n, "litert") for n in ("float32", "int8"))
    assert int8["share"] <= 0.28
    assert int8["scores"]["drop"] <= 0.003
    assert int8["latency"]["1"]["median"] <= 0.6 * before["latency"]["1"]["median"]
    levels = {(row["level"], row["runtime"]) for row in ended.result["rows"]}
    assert {("int8", "onnx"), ("int4", "litert"), ("float16", "tensorflow")} <= levels
    for row in ended.result["rows"]:
        if row["level"] == "float32":
            assert row["scores"]["largest_change"] < 1e-5
    assert pathlib.Path(ended.result["page"]).is_file()
    for level, runtime in (("int8", "litert"), ("int8", "onnx")):
        path = folder / "compressed" / level / runtime
        exported = _kerascale("export", path, tmp_path / runtime, "--json")
        assert exported.code == 0, exported.text


def test_language_model(run, tmp_path):
    folder = run("language_model")
    ended = _kerascale("compress", folder, "--runtimes", "onnx", "--json")
    assert ended.code == 0, ended.text
    weights = _row(ended.result, "int8-weights", "onnx")
    assert weights["share"] <= 0.28
    assert weights["scores"]["drop"] <= 0.01
    assert _row(ended.result, "int4", "onnx")["refused"]
    path = folder / "compressed" / "int4"
    refused = _kerascale("export", path, tmp_path / "served")
    assert refused.code == 1
    assert "within the limit of its ladder" in refused.text
    alone = _kerascale("compress", folder, "--runtimes", "onnx", "--to", "int4")
    assert alone.code == 1
    assert "No rung is within" in alone.text


def test_a_kill(run):
    """It goes on, and builds no rung again that was whole."""
    folder = run("mlp")
    arguments = ("compress", folder, "--runtimes", "litert", "onnx")
    process = _command(arguments)
    whole = folder / "compressed" / "float16" / "litert" / "rung.json"
    end = time.monotonic() + 300
    while not whole.exists() and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (folder / "compressed" / "ladder.json").exists()
    ended = _kerascale(*arguments, "--json")
    assert ended.code == 0, ended.text
    assert ended.text.count("there already") >= 3
    left = [p for p in (folder / "compressed").rglob("writing-*")]
    assert not left


@pytest.mark.parametrize("name", ["mlp", "transformer", "rnn"])
def test_other_recipes(run, name):
    ended = _kerascale("compress", run(name), "--json", "--max-drop", "0.02")
    assert ended.code == 0, ended.text
    compressed = [row for row in ended.result["rows"] if row["level"] != "float32"]
    assert min(row["share"] for row in compressed if not row["refused"]) < 0.5
    for row in ended.result["rows"]:
        if row["level"] == "float32":
            assert row["scores"]["largest_change"] < 1e-5
