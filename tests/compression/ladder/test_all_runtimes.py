"""`kerascale compress` as a user types it, in LiteRT, ONNX Runtime and TensorFlow.

The figures of the documentation are those of these commands. The extra takes a minute
to install, so that this is run before a release.
"""

import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest
from helpers import serving_environments as environments
from helpers.shared import once
from helpers.small import FIELDS

import kerascale as ks
from kerascale.runs import layout

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


def _python(code, *arguments):
    python = environments.get("compress", environments.COMPRESS, on_top=True)
    command = [python, "-c", code, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


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


@pytest.mark.parametrize("name", ["cnn", "residual", "transformer"])
def test_learned_ranges_are_true_integers(name, tmp_path):
    """In both runtimes, and as training took them to be."""
    more = {"residual": True} if name == "residual" else {}
    name = "cnn" if more else name
    recipe = ks.load_recipe(name)
    fields = {**FIELDS[name], **more, "epochs": 3}
    config = recipe.Config(**fields, quantize_aware="int8")
    folder = tmp_path / "run"
    ks.train(recipe, config, run_dir=folder)
    # However much such a small model loses.
    ended = _kerascale("compress", folder, "--to", "int8", "--max-drop", "1", "--json")
    assert ended.code == 0, ended.text
    for runtime in ("litert", "onnx"):
        row = _row(ended.result, "int8", runtime)
        assert row["scores"]["as_trained"]["agreement"] > 0.98
        assert row["scores"]["as_trained"]["mean_change"] < 0.005
    kernels = json.loads(_python(_KERNELS, folder / "compressed" / "int8"))
    weighted = sum(v.name == "kernel" for v in ks.load_run(folder).model.weights)
    assert kernels["litert"] == [["int8"] * 3] * weighted
    assert kernels["onnx"] == weighted
    path = folder / "compressed" / "int8" / "litert"
    exported = _kerascale("export", path, tmp_path / "served", "--json")
    assert exported.code == 0, exported.text


_KERNELS = """
import json, pathlib, sys
import onnx, onnxruntime
from ai_edge_litert import interpreter as runtime

folder = pathlib.Path(sys.argv[1])
options = onnxruntime.SessionOptions()
optimized = folder / "optimized.onnx"
options.optimized_model_filepath = str(optimized)
model = str(folder / "onnx" / "model.onnx")
onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
nodes = onnx.load(str(optimized)).graph.node
integers = sum(n.op_type in ("QLinearConv", "QGemm") for n in nodes)
optimized.unlink()
plain = runtime.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
model = runtime.Interpreter(
    str(folder / "litert" / "model.tflite"), experimental_op_resolver_type=plain
)
model.allocate_tensors()
types = {d["index"]: d["dtype"].__name__ for d in model.get_tensor_details()}
kernels = [
    [types[i] for i in (*op["inputs"][:2], op["outputs"][0])]
    for op in model._get_ops_details()
    if op["op_name"] in ("CONV_2D", "FULLY_CONNECTED")
]
print(json.dumps({"litert": kernels, "onnx": integers}))
"""


def test_pruned_rungs(run):
    folder = run("mlp")
    arguments = ("compress", folder, "--to", "pruned-0.8", "2:4", "--max-drop", "0.05")
    ended = _kerascale(*arguments, "--json")
    assert ended.code == 0, ended.text
    for level, most in (("pruned-0.8", 0.3), ("2:4", 0.6)):
        whole, sparse = (_row(ended.result, level, n) for n in ("litert", "onnx"))
        # Of what LiteRT keeps zeros in, the zipped file alone is smaller.
        assert whole["share"] == pytest.approx(1, abs=0.02)
        assert whole["zipped_share"] < most + 0.1
        assert sparse["share"] < most
        assert sparse["scores"]["accuracy"] == whole["scores"]["accuracy"]
    page = pathlib.Path(ended.result["page"]).read_text(encoding="utf-8")
    assert page.count("zipped it has") == 6
    assert _kerascale(*arguments, "--json").text.count("there already") >= 6


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


def test_a_kill(run, tmp_path):
    """It goes on, and builds no rung again that was whole."""
    folder = tmp_path / "run"  # Without the ladder that another test may have made.
    shutil.copytree(
        run("mlp"), folder, ignore=shutil.ignore_patterns(layout.COMPRESSED)
    )
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
