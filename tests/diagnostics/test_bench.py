"""`kerascale bench`: what it measures is what tests/benchmarks measures."""

import importlib.util
import json
import os
import re

import keras
import numpy as np
import pytest
from benchmarks.runners import keras_fit
from benchmarks.workload import load_all

import kerascale as ks
from kerascale.diagnostics import bench
from kerascale.diagnostics.doctor.processes import Ended
from kerascale.engine.execution import step_functions
from kerascale.engine.execution.modes import Mode

_VALUES = {
    "parameters": 407050,
    "first_seconds": 8.12,
    "loss": 0.5,
    "peak_memory_bytes": 1.2 * 2**30,
    "execution": {"kind": "one_program", "steps": 200, "said": str(Mode("loop", 200))},
    "epochs": 4,
    "step_seconds": 0.00303,
    "items_per_second": 42310.2,
    "flops_per_second": 61.2e9,
    "peak_flops_per_second": 136e9,
    "share_of_peak": 0.45,
    "peak_of": "",
}


@pytest.mark.slow
def test_a_workload_is_measured(kerascale, tmp_path):
    finished = kerascale(
        "bench", "--workloads", "A", "--seconds", "0.2", "--execution", "fixed",
        "--json", env={"KERASCALE_EXECUTION": "loop"},
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    (line,) = finished.stdout.splitlines()
    result = json.loads(line)["workloads"]["A"]
    assert set(result) > set(_VALUES)
    assert result["parameters"] == _VALUES["parameters"]
    assert result["execution"] == {"kind": "loop", "steps": 1, "said": "step by step"}
    # Of ten classes, one label in ten is any.
    assert 0 < result["loss"] < np.log(10)
    assert result["epochs"] >= 1
    steps_per_second = 1 / result["step_seconds"]
    assert result["items_per_second"] == pytest.approx(128 * steps_per_second)
    flops = result["flops_per_step"] * steps_per_second
    assert result["flops_per_second"] == pytest.approx(flops)
    assert 0 < result["share_of_peak"] < 1
    # It holds TensorFlow and the data.
    assert result["peak_memory_bytes"] > 400 * 784 * 128 * 4
    # Importing TensorFlow and 100 steps, and not the 400 of an epoch behind them.
    whole = json.loads(line)["seconds"]
    assert 100 * result["step_seconds"] < result["first_seconds"] < whole
    assert finished.stderr.startswith("A: training MLP 784-512-10, Adam, batch 128\n")
    assert re.search(r"\nA  MLP .* examples/s .* ms a step ", finished.stderr)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="no extra jax")
def test_a_workload_is_measured_on_a_mesh(kerascale):
    mesh = ("--strategy", "fsdp", "--mesh", "data=4", "--json")
    finished = kerascale("bench", "--workloads", "D", "--seconds", "0.2", *mesh)
    assert finished.returncode == 0, finished.stderr
    result = json.loads(finished.stdout.splitlines()[-1])["workloads"]["D"]
    assert set(result) > set(_VALUES)
    assert result["peak_of"] == "the cores that 4 devices share"
    assert 0 < result["share_of_peak"] < 1
    assert result["execution"]["steps"] == 16


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--workloads", "A,X"],
            "workloads: expected letters of A, B, C, D, E, such as A,D. Received: "
            "'A,X'. kerascale bench --help says what they are.",
        ),
        (["--workloads", ""], "workloads: expected letters of A, B, C, D, E"),
        (["--seconds", "0"], "seconds: expected a finite number > 0. Received: 0.0"),
        (["--execution", "quick"], "--execution: expected one of auto, fixed, loop"),
        (["--mesh", "data=4"], "mesh: expected with --strategy. Received: without it"),
        (
            ["--strategy", "fsdp", "--execution", "loop"],
            "execution: expected auto with --strategy, where steps are one program",
        ),
        (["--workload", "A"], "--workload: no such flag. Did you mean --workloads?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_refusals(kerascale, arguments, message):
    finished = kerascale("bench", *arguments)
    assert finished.returncode == 2, finished.stderr
    assert finished.stdout == ""
    assert message in finished.stderr


def test_letters_are_taken_once_in_their_order():
    assert [w.letter for w in bench.named("d, A,d")] == ["D", "A"]


def test_a_process_that_fails_keeps_no_other_from_being_started(kerascale, tmp_path):
    package = tmp_path / "tensorflow"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('libcudart is missing')")
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {"PYTHONPATH": os.pathsep.join(paths)}
    finished = kerascale("bench", "--workloads", "A,C", "--json", env=environment)
    assert finished.returncode == 1, finished.stderr
    results = json.loads(finished.stdout.splitlines()[-1])["workloads"]
    assert list(results) == ["A", "C"]
    for result in results.values():
        assert result["failed"].startswith("exit code 1: ")
        assert result["failed"].endswith("ImportError: libcudart is missing")
        assert "items_per_second" not in result
    assert "Traceback" not in finished.stderr


def test_rows_of_what_was_measured_and_of_what_failed():
    def run(module, environments, limit_seconds, arguments):
        task = json.loads(arguments[0])
        assert (task["seconds"], task["wish"]) == (2.0, "split")
        if task["letter"] == "D":
            return [Ended({"parameters": 1}, "exit code 1: / out of memory")]
        return [Ended(_VALUES)]

    chosen = bench.named("A,D,C")
    report = bench.measure_all(chosen, seconds=2.0, execution="split", run=run)
    assert not report
    first, second, third = report.text().splitlines()
    assert re.split(r" {3,}", first) == [
        "A  MLP 784-512-10, Adam, batch 128",
        "42,310 examples/s",
        "3.03 ms a step",
        "a loop of 200 steps",
        "61.2 GFLOP/s, 45 % of the peak",
        "first 100 steps 8.1 s",
        "peak memory 1.2 GiB",
    ]
    assert second == f"D  {chosen[1].title}   FAILED: exit code 1: / out of memory"
    assert third.index("examples/s") == first.index("examples/s")
    assert bench.measure_all(chosen[:1], seconds=2.0, execution="split", run=run)


@pytest.mark.parametrize(
    "letter",
    [
        name if name == "A" else pytest.param(name, marks=pytest.mark.slow)
        for name in bench.WORKLOADS
    ],
)
def test_it_is_the_workload_of_that_letter(letter):
    """So the figures of the command can be held against those of the table."""
    mine, theirs = bench.WORKLOADS[letter], load_all()[letter]
    for name in (
        "letter", "title", "item", "batch_size", "items_per_step", "steps_per_epoch",
        "first_steps", "flops_per_step",
    ):  # fmt: skip
        assert getattr(mine, name) == getattr(theirs, name), name
    assert mine.first_steps <= mine.steps_per_epoch
    model = mine.make_model(ks, keras)
    assert model.count_params() == theirs.num_parameters
    found = mine.make_optimizer(keras).get_config()
    name = found["name"]  # Keras numbers them.
    assert found == {**keras_fit.optimizer(theirs).get_config(), "name": name}
    loss = mine.make_loss(keras)
    assert type(loss) is type(keras_fit.loss(theirs))
    assert loss.get_config() == keras_fit.loss(theirs).get_config()
    x, y = mine.make_data(np.random.default_rng(0), 2 * mine.batch_size)
    their_x, their_y = theirs.data()
    assert len(their_x) == mine.num_examples
    assert (x.shape[1:], x.dtype) == (their_x.shape[1:], their_x.dtype)
    assert (y.shape[1:], y.dtype) == (their_y.shape[1:], their_y.dtype)
    assert np.isfinite(loss(y[:2], model(x[:2])))


@pytest.mark.parametrize("wish", ["fixed", "loop", "one_program", "split"])
def test_the_form_in_which_a_model_was_trained(wish, monkeypatch):
    monkeypatch.delenv("KERASCALE_EXECUTION", raising=False)
    model = ks.scale(keras.Sequential([keras.layers.Dense(1)]), execution=wish)
    model.compile("sgd", "mse")
    x = np.ones((64, 2), "float32")
    model.fit(x, x[:, :1], batch_size=8, verbose=0)
    mode = step_functions.mode_of(model)
    assert mode.kind == ("loop" if wish == "fixed" else wish)
    assert (mode.steps == 1) == (wish == "fixed")
