"""Throughput of a training: what is counted, what is left out, and what it costs."""

import datetime
import json
import os
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerascale as ks
from kerascale.callbacks import Timing
from kerascale.callbacks import timing as timing_module
from kerascale.engine.execution import autotune
from kerascale.runs import timeline
from kerascale.training.throughput import (
    figures,
    flops,
    model_peak,
    peak,
    throughput_report,
)


def _step_of(layers, x, y):
    """Operations of a training step, as `train` counts them."""
    model = ks.scale(keras.Sequential([keras.Input(x.shape[1:]), *layers]))
    model.compile("adam", "sparse_categorical_crossentropy")
    x, y = tf.constant(x, tf.float32), tf.constant(y)
    model.evaluate(x, y, verbose=0)
    return flops.count(model.make_train_function().traced_on((x, y)))


_LABELS = np.zeros(16, int)


def test_dense_layers():
    layers = [keras.layers.Dense(32, "relu"), keras.layers.Dense(10, "softmax")]
    found = _step_of(layers, np.ones((16, 64)), _LABELS)
    forward = 2 * 16 * (64 * 32 + 32 * 10)
    # Backward once to the kernels, and once to the input of the second layer.
    assert found == forward + forward + 2 * 16 * 32 * 10


def test_what_xla_compiles_is_counted():
    inner = tf.function(lambda a: a @ a, jit_compile=True)
    outer = tf.function(lambda a: inner(inner(a)))
    traced = outer.get_concrete_function(tf.TensorSpec([6, 6], tf.float32))
    assert flops.count(traced) == 2 * 2 * 6**3


def test_convolutions():
    layers = [
        keras.layers.Conv2D(8, 3, padding="same", activation="relu"),
        keras.layers.Conv2D(4, 3, strides=2, padding="same"),
        keras.layers.Flatten(),
        keras.layers.Dense(3, "softmax"),
    ]
    found = _step_of(layers, np.ones((16, 12, 12, 2)), _LABELS)
    first = 2 * 16 * 12 * 12 * 8 * (3 * 3 * 2)
    second = 2 * 16 * 6 * 6 * 4 * (3 * 3 * 8)
    dense = 2 * 16 * (6 * 6 * 4) * 3
    assert found == 2 * first + 3 * second + 3 * dense


def test_depthwise_convolutions():
    layers = [
        keras.layers.Conv2D(6, 1),
        keras.layers.DepthwiseConv2D(3, padding="same"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Softmax(),
    ]
    found = _step_of(layers, np.ones((16, 12, 12, 2)), _LABELS)
    pointwise = 2 * 16 * 12 * 12 * 6 * 2
    depthwise = 2 * 16 * 12 * 12 * 6 * 9
    assert found == 2 * pointwise + 3 * depthwise


def test_the_steps_of_a_recurrent_layer_are_all_counted():
    layers = [keras.layers.LSTM(20), keras.layers.Dense(3, "softmax")]
    found = _step_of(layers, np.ones((16, 11, 7)), _LABELS)
    inputs, recurrent = 2 * 16 * 11 * 7 * 80, 2 * 16 * 11 * 20 * 80
    dense = 2 * 16 * 20 * 3
    # The loop may give the gradient of its input, too, which nothing asks for.
    low = 2 * inputs + 3 * recurrent + 3 * dense
    assert low <= found <= low + inputs


def test_attention():
    inputs = keras.Input((10, 8))
    attended = keras.layers.MultiHeadAttention(2, 4, flash_attention=False)
    outputs = keras.layers.Dense(3, "softmax")(attended(inputs, inputs)[:, 0])
    model = ks.scale(keras.Model(inputs, outputs))
    x = tf.ones((16, 10, 8))
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.evaluate(x, tf.constant(_LABELS), verbose=0)
    traced = tf.function(lambda x: model(x)).get_concrete_function(x)
    projections = 4 * 2 * 16 * 10 * 8 * 8
    products = 2 * 2 * 16 * 2 * 10 * 10 * 4
    assert flops.count(traced) == projections + products + 2 * 16 * 8 * 3


def test_branches_and_einsum_with_dots():
    a, b = tf.ones((3, 4, 5)), tf.ones((5, 6))

    @tf.function
    def function(flag):
        return tf.cond(flag, lambda: tf.einsum("...i,ij->...j", a, b), lambda: a @ b)

    found = flops.count(function.get_concrete_function(tf.constant(True)))
    assert found == 2 * 3 * 4 * 5 * 6


def test_what_is_not_known_is_not_guessed():
    matrix = tf.ones((4, 4))

    @tf.function
    def until(limit):
        return tf.while_loop(
            lambda m: tf.reduce_sum(m) < limit, lambda m: [m @ m], [matrix]
        )

    traced = until.get_concrete_function(tf.constant(1e9))
    with pytest.raises(flops.UncountableError, match="how often the loop"):
        flops.count(traced)
    free = tf.function(lambda m: m @ m).get_concrete_function(
        tf.TensorSpec([None, None], tf.float32)
    )
    with pytest.raises(flops.UncountableError, match="the shape of m is not known"):
        flops.count(free)


# A run ---------------------------------------------------------------------------


# Of `mlp` with 16 units, a batch of 32: forward and to the kernels; to the input of the
# second layer.
_OPERATIONS = 2 * 2 * 32 * (64 * 16 + 16 * 10) + 2 * 32 * 16 * 10


def _throughput(path):
    return json.loads((path / "throughput.json").read_text())


def test_a_short_run_says_why_nothing_is_counted(run):
    found = _throughput(run.path)
    assert found["flops_per_step"] is found["share_of_peak"] is None
    assert "of less than 60 s in all are not worth that" in found["not_counted"]


def test_a_run_that_is_long_enough_is_counted(recipe, monkeypatch, tmp_path, capfd):
    monkeypatch.setattr(throughput_report, "_ENOUGH_SECONDS", 0.0)
    config = recipe.Config(epochs=3, units=(16,))
    found = _throughput(ks.train(recipe, config, run_dir=tmp_path / "run").path)
    assert found["flops_per_step"] == _OPERATIONS
    speed = found["examples_per_second"]
    # 1,145 examples in 36 batches.
    assert speed == pytest.approx(1145 / 36 / found["step_seconds"])
    assert found["tokens_per_second"] is None
    assert found["compiling_included"] is False
    computed = found["flops_per_step"] / found["step_seconds"]
    assert found["flops_per_second"] == pytest.approx(computed)
    share = computed / found["peak_flops_per_second"]
    assert found["share_of_peak"] == pytest.approx(share)
    assert 0 < share < 1
    assert found["starts"] == 1
    useful = 3 * 36 * found["step_seconds"]
    assert found["useful_seconds"] == pytest.approx(useful)
    assert found["goodput"] == pytest.approx(useful / found["wall_seconds"])
    assert 0 < found["goodput"] < 1
    assert "of the measured peak" in capfd.readouterr().err


def test_a_peak_that_was_exceeded_is_measured_again(monkeypatch, tmp_path):
    monkeypatch.setenv("KERASCALE_CACHE_DIR", str(tmp_path))
    measured = iter([1e9, 3e9])
    monkeypatch.setattr(peak, "measure", lambda *_, **__: next(measured))
    model = ks.scale(keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]))
    assert model_peak.of_model(model, 0.5e9) == (1e9, "")
    # Other work had been beside it.
    assert model_peak.of_model(model, 2e9) == (3e9, "")
    assert model_peak.of_model(model, 2e9) == (3e9, "")


@pytest.mark.slow
def test_what_was_traced_with_its_shapes_is_counted_in_any_run(recipe, tmp_path):
    config = recipe.Config(
        epochs=2, units=(16,), execution="one_program", steps_per_execution=6
    )
    found = _throughput(ks.train(recipe, config, run_dir=tmp_path / "run").path)
    assert found["flops_per_step"] == _OPERATIONS, found["not_counted"]


@pytest.mark.slow
def test_a_language_model_tells_tokens(tmp_path):
    recipe = ks.load_recipe("language_model")
    text = tmp_path / "text.txt"
    text.write_text("the quick brown fox jumps over the lazy dog. " * 60)
    config = recipe.Config(
        dataset=f"text:{text}", epochs=2, num_layers=1, width=8, max_length=16
    )
    found = _throughput(ks.train(recipe, config, run_dir=tmp_path / "run").path)
    expected = 16 * found["examples_per_second"]
    assert found["tokens_per_second"] == pytest.approx(expected)


def test_a_run_that_crashed_and_went_on(recipe, tmp_path):
    class Crash(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise RuntimeError("the machine is gone")

    config = recipe.Config(epochs=4, units=(16,))
    with pytest.raises(RuntimeError, match="the machine is gone"):
        ks.train(recipe, config, run_dir=tmp_path / "run", callbacks=[Crash()])
    time.sleep(1.0)
    run = ks.train(recipe, config, run_dir=tmp_path / "run")
    found = _throughput(run.path)
    assert found["starts"] == 2
    # The steps of both are in the result; the time between them is lost.
    useful = 4 * 36 * found["step_seconds"]
    assert found["useful_seconds"] == pytest.approx(useful)
    assert found["wall_seconds"] > 1.0 + useful
    # Nothing is trained again, and nothing is told anew.
    before = (run.path / "throughput.json").read_bytes()
    again = ks.train(recipe, config, run_dir=tmp_path / "run")
    assert (again.path / "throughput.json").read_bytes() == before


_ON_TWO_DEVICES = """
import sys
import kerascale as ks
from kerascale.training.throughput import throughput_report

throughput_report._ENOUGH_SECONDS = 0.0
recipe = ks.load_recipe("mlp")
config = recipe.Config(epochs=2, units=(16,))
ks.train(recipe, config, strategy="mirrored", run_dir=sys.argv[1])
"""


@pytest.mark.slow
def test_as_many_operations_on_two_devices(run_python, tmp_path):
    path = tmp_path / "run"
    finished = run_python(
        _ON_TWO_DEVICES, path, env={"KERASCALE_DEVICES": "2"}, imported=True
    )
    assert json.loads((path / "config.json").read_text())["replicas"] == 2
    assert _throughput(path)["flops_per_step"] == _OPERATIONS
    assert "throughput: " in finished.stderr
    assert "goodput: " in finished.stderr


def _event(name, second):
    moment = datetime.datetime.fromtimestamp(second, datetime.UTC)
    return {"event": name, "time": moment.isoformat()}


def test_a_stop_on_request_loses_no_time():
    start, again = _event("started", 100.0), _event("resumed", 1000.0)
    stop = _event("stopped on request", 130.0)
    assert timeline.wall_seconds([start, stop, again], 1020.0) == 30.0 + 20.0
    assert timeline.wall_seconds([start, again], 1020.0) == 920.0
    failed = _event("failed", 130.0)
    assert timeline.wall_seconds([start, failed, again], 1020.0) == 920.0
    assert timeline.wall_seconds([start, _event("finished", 150.0)], 5000.0) == 50.0
    assert timeline.wall_seconds([], 5000.0) == 0.0


def test_a_line_that_a_kill_cut_off(tmp_path):
    timeline.note(tmp_path, "started", step=0)
    path = tmp_path / "timeline.jsonl"
    path.write_text(
        path.read_text() + '{"time": "20\n{"time": "x", "event": "finished"}'
    )
    events = timeline.read(tmp_path)
    assert [e["event"] for e in events] == ["started", "unreadable", "unreadable"]
    assert [e["step"] for e in timeline.starts(events)] == [0]
    assert timeline.wall_seconds(events, time.time()) < 60


# Times ---------------------------------------------------------------------------


@pytest.fixture
def timed(monkeypatch):
    """Epochs of executions of one step, by a clock of the test's own."""
    now = [100.0]
    monkeypatch.setattr(timing_module.time, "monotonic", lambda: now[0])

    def run(epochs):
        timing = Timing(steps_per_epoch=len(epochs[0]))
        for epoch, executions in enumerate(epochs):
            timing.on_epoch_begin(epoch)
            for batch, seconds in enumerate(executions):
                timing.on_train_batch_begin(batch)
                now[0] += seconds
                timing.on_train_batch_end(batch)
            timing.on_test_begin()
            now[0] += 1000.0  # Validation is no part of it.
            timing.on_epoch_end(epoch)
        return timing.steps, timing.seconds, timing.compiling_included, timing.step

    return run


def test_compiling_is_left_out(timed):
    assert timed([[30.0, 1.0], [2.0, 1.0], [3.0, 1.0]]) == (4, 7.0, False, 6)
    assert timed([[30.0, 1.0, 1.0]]) == (2, 2.0, False, 3)
    assert timed([[30.0]]) == (1, 30.0, True, 1)


def test_where_a_run_goes_on_in_the_middle_of_an_epoch():
    timing = Timing(10)
    timing.on_epoch_begin(2)
    for batch in (6, 7, 8, 9):
        timing.on_train_batch_begin(batch)
        timing.on_train_batch_end(batch)
    timing.on_epoch_end(2)
    timing.on_epoch_begin(3)
    timing.on_train_batch_begin(0)
    assert (timing.step, timing.steps) == (30, 3)


def test_it_does_not_look_at_every_step():
    assert not autotune.wants_every_step(Timing(10))


def _made(**changed):
    values = {
        "steps": 10,
        "seconds": 1.0,
        "compiling_included": False,
        "examples_per_step": 32,
        "tokens_per_example": None,
        "flops_per_step": 1e9,
        "not_counted": "",
        "peak": 1e11,
        "first_step": 0,
        "last_step": 100,
        "wall_seconds": 40.0,
        "starts": 2,
    }
    return figures.make(**{**values, **changed})


def test_the_lines():
    assert _made().text() == (
        "throughput: 320 examples/s; 1 GFLOP a step, 10 GFLOP/s, 10 % of the measured "
        "peak\ngoodput: 25 % (10 s of steps in 40 s, 2 starts)"
    )
    on_mesh = _made(peak_of="the cores that 8 devices share").text()
    assert "% of the measured peak of the cores that 8 devices share\n" in on_mesh
    uncounted = _made(flops_per_step=None, not_counted="no shape", peak=None)
    assert "; operations not counted: no shape\n" in uncounted.text()
    assert "too short to tell" in _made(compiling_included=True).text()
    assert _made(steps=0) is None
    # A clock that was set back.
    assert "goodput" not in _made(wall_seconds=3.0).text()


def test_the_peak_is_measured_once(monkeypatch, tmp_path):
    monkeypatch.setenv("KERASCALE_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(peak, "_SECONDS", 0.05)
    first = peak.of_this_machine()
    assert 1e8 < first < 1e16
    (file,) = (tmp_path / "peaks").iterdir()
    file.write_text(json.dumps({"flops_per_second": 123.0}))
    assert peak.of_this_machine() == 123.0
    for damaged in ("", "{}", "[]", '{"flops_per_second": -1}'):
        file.write_text(damaged)
        assert peak.of_this_machine() > 1e8
    assert peak.of_this_machine("bfloat16") != peak.of_this_machine()
    assert len(os.listdir(tmp_path / "peaks")) == 2
