"""`kerascale verify`: what is the same passes, what is not is named."""

import dataclasses
import json
import os
import pathlib
import pickle
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import forked_worker

import kerascale as ks
from kerascale.diagnostics import verify
from kerascale.diagnostics.verify import (
    batch_sizes,
    compare_records,
    inject,
    injected_faults,
    inputs,
    model_and_data,
    processes,
    report,
    run_jobs,
    verdicts,
    zero_gradients,
)
from kerascale.diagnostics.verify.jobs import MARK, Job, configurations
from kerascale.diagnostics.verify.records import Record, Status
from kerascale.errors import RefusedError

# ------------------------------------------------- models, found by other processes


def clipped_model():
    x = keras.Input((4,))
    y = keras.layers.Dense(8, activation="tanh", name="hidden")(x)
    y = keras.layers.Dense(3, activation="softmax", name="out")(y)
    model = keras.Model(x, y)
    model.compile(
        keras.optimizers.SGD(0.5, global_clipnorm=0.1),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def normalized_model():
    """Not built, with a bias that does nothing, and weights of the examples."""
    model = keras.Sequential(
        [
            keras.layers.Dense(8, name="before"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.Activation("tanh"),
            keras.layers.Dense(1, name="after"),
        ]
    )
    model.compile("adam", "mse", weighted_metrics=["mae"])
    return model


def model_that_fails_on_two_devices():
    if tf.distribute.get_strategy().num_replicas_in_sync > 1:
        raise ZeroDivisionError("no model\nfor two devices\n\n" + "more\n" * 10)
    return clipped_model()


def not_compiled():
    return keras.Sequential([keras.layers.Dense(1)])


def scaled_model():
    return ks.scale(clipped_model())


def _numbers(rows=40):
    random = np.random.default_rng(0)
    x = random.normal(size=(rows, 4)).astype("float32")
    return x, random.integers(0, 3, rows)


# ---------------------------------------------------------------------- comparing


def _record(folder, name, steps, predictions=None):
    (folder / name).mkdir()
    record = Record(folder / name)
    for step, arrays in enumerate(steps):
        record.write_step(step, {k: np.asarray(v) for k, v in arrays.items()})
    record.write_predictions(predictions or {"0": np.ones(2)})
    return record


def _compare(tmp_path, one, two, left_out=None, limit=1e-10, predictions=(None, None)):
    return compare_records.compare(
        _record(tmp_path, "one", one, predictions[0]),
        _record(tmp_path, "two", two, predictions[1]),
        variables=("first", "second"),
        limit=limit,
        left_out=left_out or {},
    )


def _step(first=(1.0, 2.0), second=(3.0,), **logs):
    found = {"0": np.array(first), "1": np.array(second)}
    return found | {f"log/{name}": value for name, value in logs.items()}


def test_the_measure_is_relative_to_the_largest_value():
    assert compare_records.relative(np.array([4.0, 0.5]), np.array([4.0, 0.0])) == 0.125
    assert compare_records.relative(np.zeros(2), np.array([0.0, 1e-12])) == 1e-12
    assert compare_records.relative(np.ones(2), np.array([1.0, np.nan])) == np.inf
    assert compare_records.relative(np.ones(2), np.ones(3)) == np.inf
    assert compare_records.relative(np.ones((0,)), np.ones((0,))) == 0


def test_tolerances_are_those_of_the_law():
    assert compare_records.tolerance("float64", 50) == 1e-10
    assert compare_records.tolerance("float32", 50) == 1e-5
    assert compare_records.tolerance("float32", 5) == 1e-6


def test_equal_records_are_the_same(tmp_path):
    steps = [_step(), _step(loss=1.0, accuracy=0.5)]
    found = _compare(tmp_path, steps, steps)
    assert not found.first
    assert found.steps == 1
    assert set(found.largest.values()) == {0.0}


def test_the_first_step_and_variable_are_named(tmp_path):
    one = [_step(), _step(loss=1.0), _step(loss=1.0, auc=0.5), _step()]
    two = [
        _step(),
        _step(first=(1.0, 2.0 + 1e-13), loss=1.0),
        _step(first=(1.5, 2.0), second=(9.0,), loss=1.5, auc=0.25),
        _step(first=(9.0, 9.0)),
    ]
    found = _compare(
        tmp_path, one, two, predictions=({"0": np.ones(2)}, {"0": np.zeros(2)})
    )
    firsts = {
        kind: (difference.step, difference.name, difference.value)
        for kind, difference in found.first.items()
    }
    assert firsts == {
        "weights": (2, "first", 0.25),
        "loss": (2, "loss", 0.5),
        "metrics": (2, "auc", 0.5),
        "predictions": (3, "output 0", 1.0),
    }
    assert found.largest["weights"] == 4.0


def test_other_initial_weights_are_before_the_first_step(tmp_path):
    found = _compare(tmp_path, [_step(), _step()], [_step(second=(4.0,)), _step()])
    assert (found.first["weights"].step, found.first["weights"].name) == (0, "second")


def test_a_copy_on_another_device_is_compared(tmp_path):
    other = _step() | {"1/1": np.array([3.5])}
    found = _compare(tmp_path, [_step(), _step()], [_step(), other])
    assert found.first["weights"].name == "second on device 1"


def test_a_moving_mean_of_zero_is_measured_against_the_spread(tmp_path):
    def step(mean):
        return {"0": np.array([mean, -1e-17]), "1": np.array([4.0, 1.0])}

    def compare(name, one, two):
        (tmp_path / name).mkdir()
        return compare_records.compare(
            _record(tmp_path / name, "one", [step(one)] * 2),
            _record(tmp_path / name, "two", [step(two)] * 2),
            variables=("norm/moving_mean", "norm/moving_variance"),
            limit=1e-10,
            left_out={},
        )

    noise = compare("noise", 1e-16, -1e-16)
    assert noise.largest["weights"] == 1e-16
    assert noise.against_spread == ("norm/moving_mean",)
    wrong = compare("wrong", 1e-16, 0.5)
    assert wrong.largest["weights"] == pytest.approx(0.25)
    small = compare("small", 1e-3, 2e-3)
    assert small.largest["weights"] == 1.0
    assert not small.against_spread


def test_missing_steps_differ(tmp_path):
    found = _compare(tmp_path, [_step(), _step(), _step()], [_step(), _step()])
    assert found.first["weights"].step == 2


@pytest.mark.parametrize(
    ("accuracy", "differs"), [(0.5 + 1 / 64, False), (0.5 + 1 / 32, True)]
)
def test_a_count_may_differ_by_one_example(tmp_path, accuracy, differs):
    one = [_step(), _step(accuracy=0.5) | {"count/accuracy": 64.0}]
    found = _compare(tmp_path, one, [_step(), _step(accuracy=accuracy)])
    assert ("metrics" in found.first) == differs


# ----------------------------------------------------------------- zero gradients


_NAMES = (
    "model/before/bias",
    "model/norm/moving_mean",
    "model/attention/key/bias",
    "model/block/query_key_value/bias",
    "model/out/bias",
    "model/out/kernel",
)


def _left_out(precision="float64", normalized=True, **changes):
    tiny, large = np.full(3, 1e-17), np.ones(3)
    gradients = {
        "largest": np.array(2.0),
        "0": tiny,
        "2": tiny,
        "3": np.array([1.0, 1e-17, 1.0]),
        "4": large,
        **changes,
    }
    found = zero_gradients.left_out(
        _NAMES, gradients, has_batch_normalization=normalized, precision=precision
    )
    return {variable.name: variable for variable in found.values()}


def test_variables_without_gradient_are_left_out():
    found = _left_out()
    assert list(found) == [_NAMES[0], _NAMES[2], _NAMES[3]]
    assert "takes the mean away" in str(found[_NAMES[0]])
    assert "softmax" in str(found[_NAMES[2]])
    assert "(part 2 of 3)" in str(found[_NAMES[3]])


def test_of_a_fused_bias_only_the_keys_are_left_out():
    kept = _left_out()[_NAMES[3]].kept(np.arange(6.0))
    assert kept.tolist() == [0, 1, 4, 5]
    assert _left_out()[_NAMES[0]].kept(np.arange(6.0)).size == 0


def test_a_gradient_that_is_not_negligible_keeps_a_variable():
    assert _NAMES[0] not in _left_out(**{"0": np.array([1e-9])})
    assert _NAMES[3] not in _left_out(**{"3": np.array([0.0, 1e-3, 0.0])})


def test_a_bias_is_left_out_only_with_batch_normalization():
    assert list(_left_out(normalized=False)) == [_NAMES[2], _NAMES[3]]


def test_in_float32_the_moving_mean_goes_with_the_bias():
    assert _NAMES[1] in _left_out("float32")
    assert _NAMES[1] not in _left_out("float32", normalized=False)


def test_without_gradients_nothing_is_left_out():
    assert not zero_gradients.left_out(
        _NAMES, {}, has_batch_normalization=True, precision="float64"
    )


# ----------------------------------------------------------------------- the batches


@pytest.mark.parametrize("counts", [(2,), (4, 3), (8, 2)])
@pytest.mark.parametrize("steps", [1, 2, 3, 10])
def test_a_step_is_uneven_and_the_last_has_one_example(steps, counts):
    sizes = batch_sizes.plan(steps, 32, counts)
    assert len(sizes) == steps
    uneven = [size for size in sizes if size < 32]
    assert all(size % count for size in uneven for count in counts)
    if steps >= 3:
        assert sizes[0] == 32
        assert sizes[-1] == 1
        assert 1 < max(uneven) < 32


def test_batches_of_one_example_are_planned_too():
    assert batch_sizes.plan(4, 1, (2,)) == [1, 1, 1, 1]
    assert batch_sizes.describe([4, 3, 1]) == (
        "batches of 4 examples; step 2 has 3, step 3 has 1"
    )


def test_arrays_come_in_batches_and_begin_anew():
    x, y = _numbers(5)
    batches = inputs.read_batches(([x, x], {"a": y}), 4, 2)
    assert [len(batch[1]["a"]) for batch in batches] == [2, 2, 1, 2]
    assert isinstance(batches[0][0], tuple)
    np.testing.assert_array_equal(batches[3][0][1], x[:2])


def test_a_dataset_is_read_as_far_as_it_is_needed():
    x, y = _numbers()
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(8).repeat()
    batches = inputs.read_batches(dataset, 3, None)
    np.testing.assert_array_equal(batches[2][0], x[16:24])


_STRINGS = tf.data.Dataset.from_tensors((["a"], [1.0]))
_RAGGED = tf.data.Dataset.from_tensors((tf.ragged.constant([[1], [1, 2]]), [1, 2]))


@pytest.mark.parametrize(
    ("dataset", "batch_size", "message"),
    [
        ([1, 2], None, r"tuple of arrays .* Received: an object of type list"),
        ((np.ones(3), np.ones(2)), None, r"one row for each example.* \(3,\), \(2,\)"),
        ((np.ones(()),), None, "one row for each example"),
        ((np.ones(3),), 0, "batch_size: expected an integer >= 1. Received:.*=0"),
        ((np.ones((0, 2)),), None, "at least one batch. Received: an empty"),
        (_STRINGS, None, "batches of numbers. Received: .*object.* Map strings"),
        (_RAGGED, None, "ragged or sparse tensors to dense ones"),
        (_STRINGS, 4, "batch_size: expected none with a tf.data.Dataset"),
        (_STRINGS.map(lambda x, y: x), None, r"batches \(x, y\) or"),
    ],
)
def test_other_data_are_refused(dataset, batch_size, message):
    with pytest.raises(RefusedError, match=message):
        inputs.read_batches(dataset, 2, batch_size)


def test_a_function_that_others_cannot_find_is_refused():
    def inner():
        return clipped_model()

    for function in (inner, lambda: None, 3, clipped_model()):
        with pytest.raises(RefusedError, match="top level of a module"):
            ks.verify(function, _numbers())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, "steps: expected an integer >= 1. Received: 0"),
        ({"steps": True}, "steps: expected an integer >= 1. Received: True"),
        ({"replicas": 1}, "replicas: expected an integer >= 2. Received: 1"),
        ({"workers": 1}, r"workers: expected 0 \(none\) or an integer >= 2"),
        ({"precision": "float16"}, "float64 or float32. Received: 'float16'"),
        ({"plant": "no"}, "plant: expected clip-before-reduce or .* Received: 'no'"),
        ({"plant": "same-mask", "engine": False}, "expected none without the engine"),
        ({"steps": 0, "workers": -1}, "verify: 2 problems"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(RefusedError, match=message):
        ks.verify(clipped_model, _numbers(), **arguments)


# ------------------------------------------------------------------------ the plants


def test_plants_set_the_fields_that_they_need(recipe):
    config, words = injected_faults.prepare(
        "clip-before-reduce", recipe.Config(clipvalue=1.0)
    )
    assert (config.clipvalue, config.global_clipnorm) == (None, 0.01)
    assert words == "sets clipvalue=None, global_clipnorm=0.01 everywhere"
    config, words = injected_faults.prepare("same-mask", recipe.Config(dropout=0.0))
    assert config.dropout == 0.2
    given = recipe.Config(dropout=0.5)
    assert injected_faults.prepare("same-mask", given) == (given, "")
    assert injected_faults.prepare("mean-of-means", given) == (given, "")


def test_a_recipe_without_the_field_is_refused():
    with pytest.raises(RefusedError, match="a recipe with the field dropout"):
        injected_faults.prepare("same-mask", Status("done"))


# ------------------------------------------------------------------------ the report


def _report(*rows, **changes):
    values = {
        "passed": False,
        "precision": "float64",
        "limit": 1e-10,
        "steps": 3,
        "rows": rows,
        **changes,
    }
    return report.Report("mine", **values)


def _differs(largest, first=1e-9):
    kinds = dict.fromkeys(compare_records.KINDS, 0.0) | {"weights": largest}
    where = (compare_records.Difference(1, "weights", "w", first),)
    return report.Row("2 devices", "differs", 3, kinds, where)


def test_a_small_difference_is_held_against_rounding():
    assert _report(_differs(1e-8)).may_be_rounding
    assert not _report(_differs(1.0, first=1e-3)).may_be_rounding
    assert not _report(report.Row("2 devices", "failed")).may_be_rounding
    nudged = dataclasses.replace(_differs(1e-8), configuration=report.NUDGED)
    found = _report(_differs(1e-8)).with_rounding(nudged)
    assert not found
    assert found.rows[1].verdict == "rounding"
    assert "nudged: 1 device" in found.text()
    assert found.text().endswith("no further than rounding grows.")
    text = _report(_differs(1e-6)).with_rounding(nudged).text()
    assert text.endswith("FAILED: the result depends on the hardware.")


def test_a_report_says_what_differs():
    first = (compare_records.Difference(2, "weights", "dense/kernel", 0.012345),)
    largest = {"weights": np.inf, "loss": 0.5, "metrics": 0.0, "predictions": 1.0}
    found = _report(
        report.Row("1 device", "reference", steps=3),
        report.Row("2 devices", "differs", 3, largest, first),
        report.Row("2 workers", "failed", message="OOM: too\nlarge"),
        left_out=("a/bias: no gradient",),
        notes=("a note",),
    )
    assert not found
    text = found.text()
    assert "weights, first at step 2: dense/kernel by 0.012" in text
    assert "2 workers failed: OOM: too\n  large" in text
    assert "  a/bias: no gradient" in text
    assert "  a note" in text
    assert text.endswith("FAILED: the result depends on the hardware.")
    fails = report.Row("2 devices", "failed", message="x")
    assert _report(found.rows[0], fails).text().endswith("not train on all of them.")
    assert _report(fails).text().endswith("there is nothing to compare.")
    as_json = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert as_json["rows"][1]["largest"]["weights"] is None
    assert as_json["rows"][1]["first"][0]["name"] == "dense/kernel"


# --------------------------------------------------------------------- the processes

_CHILD = """
import faulthandler, pathlib, signal, sys, time
faulthandler.register(signal.SIGUSR1)
job, folder, strategy = sys.argv[1:]
def hang_here():
    time.sleep(600)
"""


@pytest.fixture
def run_children(tmp_path, monkeypatch):
    """Runs one device and two devices as a small program, without TensorFlow."""

    def run(code, **arguments):
        child = tmp_path / "fake_child.py"
        child.write_text(_CHILD + code)
        monkeypatch.setattr(processes, "_CHILD", child)
        job = tmp_path / "job.json"
        return processes.run_all(
            configurations(2, 0), job, tmp_path / "records", **arguments
        )

    return run


def test_a_process_that_hangs_is_ended(run_children):
    began = time.monotonic()
    one, two = run_children(
        "if strategy == 'mirrored':\n"
        "    pathlib.Path(folder, 'step-000004.npz').touch()\n"
        "    hang_here()\n",
        limit_seconds=1.5,
    )
    assert time.monotonic() - began < 20
    assert not one.failure
    assert two.failure == "it hung after step 4: nothing happened for 1.5 s"
    assert any("hang_here" in line for line in two.last_lines)


def test_a_process_that_dies_leaves_its_last_lines(run_children):
    _, two = run_children(
        "if strategy == 'mirrored':\n"
        "    for i in range(30): print('line', i, file=sys.stderr)\n"
        "    sys.exit(7)\n"
    )
    assert two.failure == "its process has failed: exit code 7"
    assert two.last_lines[-1] == "line 29"
    assert len(two.last_lines) == 15


def test_when_the_reference_fails_the_others_are_stopped(run_children):
    began = time.monotonic()
    one, _ = run_children("hang_here() if strategy == 'mirrored' else sys.exit(3)")
    assert time.monotonic() - began < 20
    assert one.failure == "its process has failed: exit code 3"


def test_no_process_outlives_the_one_that_verifies(tmp_path):
    code = (
        "import pathlib, sys\n"
        "from kerascale.diagnostics.verify import jobs, processes\n"
        "processes._CHILD = pathlib.Path(sys.argv[1])\n"
        "processes.run_all(jobs.configurations(2, 2), pathlib.Path('job'),"
        " pathlib.Path(sys.argv[2]))"
    )
    child = tmp_path / "fake_child.py"
    child.write_text(_CHILD + "pathlib.Path(folder, 'here').touch(); hang_here()")
    records = tmp_path / "records"
    parent = subprocess.Popen([sys.executable, "-c", code, str(child), str(records)])
    _wait(lambda: len(list(records.glob("*/*/here"))) == 4)
    assert _running(child)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    _wait(lambda: not _running(child))


def _wait(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _running(path):
    """Processes whose command names a file."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().split(b"\0")
        except OSError:
            continue
        if str(path).encode() in words and int(entry.parent.name) != os.getpid():
            found.append(entry)
    # The parent of this test names it, too.
    return [e for e in found if b"-c" not in e.read_bytes().split(b"\0")]


def test_a_job_is_read_as_it_was_written(tmp_path):
    job = Job(
        steps=3,
        replica_counts=(2, 3),
        precision="float64",
        engine=True,
        plant=None,
        sys_path=("a",),
        fields={"units": [1, 2]},
        function=("module", "name"),
    )
    job.write(tmp_path / "job.json")
    assert Job.read(str(tmp_path / "job.json")) == job


# --------------------------------------------------------- trainings: a recipe's, yours

_SMALL = ("--steps", "4", "--units", "16")


@pytest.fixture
def forked_workers(forks, monkeypatch):
    """The processes that train are forked: they need not import TensorFlow."""
    forked_worker.stand_in(monkeypatch, forks, processes, "_CHILD")


def test_a_recipe_passes(command, forked_workers):
    answer = command("verify", "mlp", *_SMALL, "--workers", 2, "--json")
    assert answer.code == 0, answer.err
    found = json.loads(answer.out.splitlines()[-1])
    assert found["recipe"] == "mlp"
    assert found["passed"] is True
    assert [row["verdict"] for row in found["rows"]] == ["reference", "same", "same"]
    for row in found["rows"][1:]:
        assert 0 < row["largest"]["weights"] < 1e-10
    assert found["notes"] == ["batches of 32 examples; step 3 has 21, step 4 has 1"]
    assert "PASSED: one result on all of them." in answer.err


@pytest.mark.parametrize(
    ("plant", "step"),
    [
        pytest.param("clip-before-reduce", 1, marks=pytest.mark.slow),
        # In even slices it does nothing.
        ("mean-of-means", 3),
        pytest.param("same-mask", 1, marks=pytest.mark.slow),
    ],
)
def test_a_planted_fault_is_named(command, forked_workers, plant, step):
    answer = command("verify", "mlp", *_SMALL, "--plant", plant)
    assert answer.code == 1, answer.err
    lines = answer.out.splitlines()
    assert f"  weights, first at step {step}: mlp/hidden_0/kernel by " in answer.out
    assert any(line.startswith("2 devices") and "differs" in line for line in lines)
    assert f"planted on several replicas: {plant}" in answer.out
    assert lines[-1] == "FAILED: the result depends on the hardware."


@pytest.mark.slow
def test_plain_keras_is_caught_where_it_clips(forked_workers):
    found = ks.verify(clipped_model, _numbers(), batch_size=16, steps=2, engine=False)
    assert not found
    weights = found.rows[1].first[0]
    assert (weights.step, weights.name) == (1, "hidden/kernel")


@pytest.mark.slow
def test_a_bias_before_a_normalization_is_left_out(forked_workers):
    x, y = _numbers()
    dataset = tf.data.Dataset.from_tensor_slices((x, y, y + 1.0)).batch(10)
    found = ks.verify(normalized_model, dataset, steps=4, workers=2)
    assert found, found.text()
    assert [line.split(":")[0] for line in found.left_out] == ["sequential/before/bias"]
    assert [row.verdict for row in found.rows] == ["reference", "same", "same"]


def test_a_process_that_raises_is_reported(forked_workers):
    found = ks.verify(model_that_fails_on_two_devices, _numbers(), steps=1)
    assert not found
    assert found.rows[1].verdict == "failed"
    assert found.rows[1].message.splitlines()[:3] == [
        "ZeroDivisionError: no model",
        "for two devices",
        "more",
    ]
    assert __file__ in found.rows[1].message.splitlines()[5]


def _job(make_model, engine=True):
    return Job(
        steps=1,
        replica_counts=(2,),
        precision="float32",
        engine=engine,
        plant=None,
        sys_path=(),
        function=(make_model.__module__, make_model.__name__),
    )


@pytest.mark.parametrize(
    ("make_model", "engine", "message"),
    [
        (not_compiled, True, r"not_compiled\(\): expected it to return a compiled"),
        (scaled_model, False, "a plain keras.Model.*Functional, which has it"),
    ],
)
def test_another_model_is_refused(tmp_path, make_model, engine, message):
    path = tmp_path / "batches"
    path.write_bytes(pickle.dumps([_numbers()]))
    job = dataclasses.replace(_job(make_model, engine), batches=str(path))
    with pytest.raises(RefusedError, match=message):
        model_and_data.from_function(job, tf.distribute.get_strategy())


def test_a_fault_without_effect_is_refused():
    with pytest.raises(RefusedError, match=r"with kerascale\.layers\.Dropout"):
        inject.refuse_without_effect("same-mask", clipped_model())
    with pytest.raises(RefusedError, match="whose optimizer clips"):
        inject.refuse_without_effect("clip-before-reduce", normalized_model())
    with pytest.raises(RuntimeError, match="expected the engine to use"):
        inject.refuse_unused("same-mask")


def test_a_refusal_of_one_device_is_one_of_verify(tmp_path):
    record = Record(tmp_path)
    record.write_status(Status("refused", "not this one"))
    ending = processes.Ending((record,), record, "its process has failed")
    with pytest.raises(RefusedError, match="not this one"):
        verdicts.Judge(_job(scaled_model), ending)


def test_a_process_that_trains_verifies_nothing(monkeypatch):
    monkeypatch.setenv(MARK, "1")
    with pytest.raises(RefusedError, match='Put it under `if __name__ == "__main__":`'):
        ks.verify(clipped_model, _numbers())


_SCRIPT = """
import keras, numpy as np
import kerascale as ks

def make_model():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.5, global_clipnorm=0.1), "mse")
    return model

"""


@pytest.mark.slow
@pytest.mark.parametrize("guarded", [True, False])
def test_a_script_verifies_its_own_function(tmp_path, guarded):
    data = "np.arange(60).reshape(30, 2) % 7 / 7, np.arange(30) % 3"
    call = f"print(ks.verify(make_model, ({data}), batch_size=10, steps=4).text())\n"
    guard = 'if __name__ == "__main__":\n    ' if guarded else ""
    (tmp_path / "mine.py").write_text(_SCRIPT + guard + call)
    finished = subprocess.run(
        [sys.executable, "mine.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if guarded:
        # Plain Keras does not pass where it clips: see above.
        assert finished.stdout.endswith("PASSED: one result on all of them.\n"), (
            finished.stdout + finished.stderr
        )
    else:
        assert 'Put it under `if __name__ == "__main__":`' in finished.stderr


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["verify"], ["expected RECIPE"]),
        (["verify", "mpl"], ["Did you mean mlp"]),
        (["verify", "mlp", "--worker", "2"], ["--worker: no such flag", "--workers"]),
        (["verify", "mlp", "--workers", "1"], ["workers: expected 0 (none)"]),
        (["verify", "mlp", "--units", "0"], ["units", "expected"]),
    ],
)
def test_bad_commands_are_refused(command, arguments, messages):
    answer = command(*arguments)
    assert answer.code == 2
    assert not answer.out
    for message in messages:
        assert message in answer.err


def test_the_commands_own_flags_are_few():
    from kerascale.cli.verify import Options
    from kerascale.config.fields import fields

    assert list(fields(Options)) == [
        "steps",
        "replicas",
        "workers",
        "precision",
        "plant",
        "plain",
        "json",
    ]


@pytest.mark.slow
def test_rounding_is_told_from_wrong_logic(kerascale):
    # Adam makes a step of the usual size out of any gradient that is not zero.
    finished = kerascale("verify", "cnn", "--steps", 5, "--precision", "float32")
    assert finished.returncode == 1
    assert "1 device, nudged" in finished.stdout
    assert finished.stdout.rstrip().endswith("but no further than rounding grows.")


@pytest.mark.slow
@pytest.mark.parametrize("name", list(ks.recipe_names()))
def test_every_recipe_passes_on_devices_and_workers(name):
    recipe = ks.load_recipe(name)
    found = verify.verify_recipe(recipe, recipe.Config(), workers=2)
    assert found, found.text()
    assert run_jobs.PRECISIONS[0] == found.precision
