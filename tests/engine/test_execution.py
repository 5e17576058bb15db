"""The mode of execution: steps as one program give what single steps give."""

import dataclasses
import gc
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerascale as ks
from kerascale.datasets.gathers import FromArrays
from kerascale.engine.compat import tensorflow_private
from kerascale.engine.execution import (
    autotune,
    autotune_cache,
    mode_of_model,
    split,
    step_functions,
    trials,
)
from kerascale.engine.execution.modes import Mode

# 9 batches of 8, and one of 3.
X = np.random.default_rng(0).normal(size=(75, 4))
Y = np.arange(75) % 3


@pytest.fixture(autouse=True)
def _float64():
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx(before[0])
    keras.config.set_dtype_policy(before[1])


def _model(steps=1, one_program=None, layers=(), **optimizer):
    keras.utils.set_random_seed(1)
    model = ks.scale(
        keras.Sequential(
            [
                keras.Input((4,)),
                keras.layers.Dense(8, activation="relu"),
                *layers,
                keras.layers.Dense(3, activation="softmax"),
            ]
        )
    )
    rate = keras.optimizers.schedules.ExponentialDecay(0.01, 5, 0.9)
    model.compile(
        keras.optimizers.Adam(rate, **optimizer),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    if one_program is not None:
        kind = "one_program" if one_program else "loop"
        step_functions.set_mode(model, Mode(kind, steps))
    return model


def _dropout():
    return ks.layers.Dropout(0.3, seed=7)


def _state(model):
    return [v.numpy() for v in [*model.variables, *model.optimizer.variables]]


def _difference(one, other):
    pairs = zip(_state(one), _state(other), strict=True)
    return max(abs(a.astype(float) - b).max() for a, b in pairs)


def _fit(model, x=X, y=Y, **options):
    keras.utils.set_random_seed(2)
    options = {"batch_size": 8, "epochs": 2, "verbose": 0, **options}
    return model.fit(x, y, **options).history


@pytest.mark.parametrize(
    ("layers", "optimizer"),
    [
        pytest.param(list, {}, marks=pytest.mark.slow),
        # By default they are in `combined_heads` of the parity matrix.
        pytest.param(
            lambda: [_dropout(), keras.layers.BatchNormalization()],
            {},
            marks=pytest.mark.slow,
        ),
        (list, {"gradient_accumulation_steps": 3, "global_clipnorm": 0.1}),
        pytest.param(
            list,
            {"use_ema": True, "ema_overwrite_frequency": 4, "weight_decay": 0.01},
            marks=pytest.mark.slow,
        ),
    ],
    ids=["plain", "dropout", "accumulation", "ema"],
)
def test_one_program_equals_single_steps(layers, optimizer, capfd):
    one = _model(layers=layers(), **optimizer)
    many = _model(4, True, layers=layers(), **optimizer)
    for model in (one, many):
        model.history_seen = _fit(model, validation_data=(X, Y))
    assert many.train_function.kind == "one_program"
    assert "note" not in capfd.readouterr().err
    assert _difference(one, many) < 1e-10
    for name, values in one.history_seen.items():
        np.testing.assert_allclose(values, many.history_seen[name], atol=1e-10)


@pytest.mark.parametrize(
    ("mode", "scaled"),
    [
        ("one_program", True),
        pytest.param("split", False, marks=pytest.mark.slow),
        pytest.param("one_program", False, marks=pytest.mark.slow),
        pytest.param("split", True, marks=pytest.mark.slow),
    ],
)
def test_a_schedule_gives_the_same_rates_in_every_mode(mode, scaled, monkeypatch):
    """They are float32, of which XLA's `cos` has another last bit."""
    monkeypatch.setattr(split, "num_parts", lambda batch_size: 2)

    def trained(kind):
        rates = keras.optimizers.schedules.CosineDecay(
            0.0, 40, warmup_target=0.5, warmup_steps=6
        )
        optimizer = keras.optimizers.SGD(rates, momentum=0.9)
        if scaled:
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        model = _model()
        model.compile(optimizer, "sparse_categorical_crossentropy")
        step_functions.set_mode(model, Mode(kind, 4))
        _fit(model)
        _fit(model, epochs=1)  # It goes on at the 21st rate.
        assert model.train_function.kind == kind
        return model

    assert _difference(trained("loop"), trained(mode)) < 1e-12


@pytest.mark.slow
def test_the_data_is_let_go():
    model = _model(4, True)
    _fit(model)
    assert model.train_function.kind == "one_program"
    gc.collect()
    held = [
        each
        for each in gc.get_objects()
        if isinstance(each, FromArrays) and each.arrays[0].shape == X.shape
    ]
    assert not held


@pytest.mark.slow
def test_repeated_runs_have_the_same_bits():
    runs = []
    for _ in range(2):
        model = _model(4, True, [_dropout()])
        _fit(model)
        runs.append(_state(model))
    for one, other in zip(*runs, strict=True):
        np.testing.assert_array_equal(one, other)


def test_steps_per_execution_and_jit_compile_ask_for_one_program(monkeypatch):
    model = _model()
    # Keras refuses XLA where op determinism is on, as another test may have left it.
    monkeypatch.setattr(type(model), "jit_compile", None)
    model.compile("sgd", "mse", steps_per_execution=4, jit_compile=True)
    assert mode_of_model.kind(model) == "one_program"
    model.compile("sgd", "mse", steps_per_execution=4, jit_compile=False)
    assert mode_of_model.kind(model) == "loop"
    model.compile("sgd", "mse", jit_compile=True)
    assert mode_of_model.kind(model) == "loop"


def test_each_step_has_its_loss():
    means, found = [], {}

    class Look(keras.callbacks.Callback):
        def __init__(self, seen):
            super().__init__()
            self.seen = seen

        def on_train_batch_end(self, batch, logs=None):
            means.append(logs["loss"])
            self.seen.extend(step_functions.step_losses(self.model))

    for mode in ((1, False), (4, False), (4, True)):
        found[mode] = []
        _fit(_model(*mode), callbacks=[Look(found[mode])], epochs=1)
    # Single steps: what is shown is the mean over all rows of the epoch.
    rows = np.array([8] * 9 + [3])
    sums = np.array(means[:10]) * np.cumsum(rows)
    expected = np.diff(sums, prepend=0.0) / rows
    for mode, losses in found.items():
        np.testing.assert_allclose(losses, expected, atol=1e-10, err_msg=mode)


def test_a_step_of_ones_own_tells_no_loss():
    class Own(ks.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(3, activation="softmax")

        def call(self, x):
            return self.dense(x)

        def train_step(self, data):
            x, y = data
            with tf.GradientTape() as tape:
                loss = self.compute_loss(x, y, self(x, training=True))
            weights = self.trainable_variables
            gradients = tape.gradient(loss, weights)
            self.optimizer.apply_gradients(zip(gradients, weights, strict=True))
            return {"mine": loss}

    for kind in ("loop", "one_program"):
        model = Own()
        model.compile("sgd", "sparse_categorical_crossentropy")
        step_functions.set_mode(model, Mode(kind, 4))
        model.fit(X, Y, batch_size=8, verbose=0)
        assert step_functions.step_losses(model) is None


def test_an_execution_that_goes_wrong_names_the_step():
    x = X.copy()
    x[13] = np.nan  # In the second batch.
    model = _model(4, True)
    with pytest.raises(ks.NonFiniteError, match=r"batch 2 \(update 2\)"):
        _fit(model, x, shuffle=False, callbacks=[ks.callbacks.FailOnNonFinite()])


@pytest.mark.slow
def test_steps_per_epoch_goes_on_where_the_last_epoch_ended():
    one, many = _model(), _model(5, True)
    for model in (one, many):
        _fit(model, steps_per_epoch=5, epochs=3)
    assert _difference(one, many) < 1e-10


def test_what_xla_cannot_compile_runs_as_before_and_is_said(capfd):
    class Text(keras.layers.Layer):
        def call(self, x):
            length = tf.strings.length(tf.strings.as_string(x))
            return x + 0.0 * tf.cast(length, x.dtype)

    one, many = _model(layers=[Text()]), _model(4, True, [Text()])
    for model in (one, many):
        _fit(model)
    said = capfd.readouterr().err
    assert said.count("not compiled as one program") == 1
    assert "AsString" in said
    assert many.train_function.kind == "loop"
    assert _difference(one, many) < 1e-10


@pytest.mark.slow
def test_batches_that_xla_cannot_compute_are_gathered_in_front():
    def gather(indices, epoch):
        x = tf.strings.to_number(
            tf.strings.as_string(tf.gather(X, indices)), tf.float64
        )
        return x * tf.cast(epoch + 1, x.dtype), tf.gather(Y, indices)

    batches = ks.datasets.Batches(gather, 75, 8, seed=3, shuffle=True)
    one, many = _model(), _model(4, True)
    for model in (one, many):
        model.fit(batches, epochs=2, verbose=0)
    assert many.train_function.kind == "one_program"
    assert _difference(one, many) < 1e-10


def test_it_goes_on_in_the_middle_of_an_epoch():
    gather = ks.datasets.gathers.gather_arrays(X, Y)
    batches = ks.datasets.Batches(gather, 75, 8, seed=3, shuffle=True)
    one, many = _model(), _model(4, True)
    for model in (one, many):
        model.fit(batches.starting_at(6), epochs=2, verbose=0)
    assert int(many.optimizer.iterations.numpy()) == 14
    assert _difference(one, many) < 1e-10


@pytest.mark.slow
def test_where_an_execution_begins_changes_no_bit():
    gather = ks.datasets.gathers.gather_arrays(X, Y)
    batches = ks.datasets.Batches(gather, 75, 8, seed=3, shuffle=True)
    whole, parts = _model(4, True), _model(4, True)
    whole.fit(batches, verbose=0)
    parts.fit(batches, steps_per_epoch=6, verbose=0)
    parts.fit(batches.starting_at(6), verbose=0)
    for one, other in zip(_state(whole), _state(parts), strict=True):
        np.testing.assert_array_equal(one, other)


def test_logs_of_a_train_step_of_ones_own():
    class Own(ks.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(3, activation="softmax")

        def call(self, x):
            return self.dense(x)

        def train_step(self, data):
            logs = super().train_step(data)
            return {**logs, "largest": tf.reduce_max(data[0])}

    histories = []
    for mode in Mode("loop", 1), Mode("one_program", 4):
        keras.utils.set_random_seed(1)
        model = Own()
        model.compile("adam", "sparse_categorical_crossentropy")
        step_functions.set_mode(model, mode)
        histories.append(_fit(model))
    assert histories[0].keys() == histories[1].keys() == {"loss", "largest"}
    for name, values in histories[0].items():
        np.testing.assert_allclose(values, histories[1][name], atol=1e-10)


# ------------------------------------------------------------------------ trials


def _batches():
    gather = ks.datasets.gathers.gather_arrays(X, Y)
    return ks.datasets.Batches(gather, 75, 8, seed=3, shuffle=True)


def test_a_trial_changes_nothing(monkeypatch, capfd):
    monkeypatch.setattr(autotune_cache, "WORTH_COMPILING_SECONDS", 0.0)
    monkeypatch.setattr(trials, "_WINDOW_SECONDS", 0.01)
    model = _model(layers=[_dropout()])
    _fit(model, epochs=1)
    before = _state(model)
    sums = [v.numpy() for metric in model.metrics for v in metric.variables]
    drawn = np.random.get_state()[1].copy()
    mode, _ = autotune.choose(model, _batches(), total_steps=1000)
    for one, other in zip(before, _state(model), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(np.random.get_state()[1], drawn)
    after = [v.numpy() for metric in model.metrics for v in metric.variables]
    assert np.array_equal(np.concatenate(sums, None), np.concatenate(after, None))
    said = capfd.readouterr().err
    assert f"execution: {mode} (" in said
    assert "one program" in said

    # The next one knows.
    assert autotune.choose(model, _batches(), total_steps=1000)[0] == mode
    assert "measured before" in capfd.readouterr().err


@pytest.mark.parametrize("execution", ["loop", "one_program", "split"])
def test_a_list_of_one_output_is_that_output(execution):
    """Keras' `call` returns it without the list, and so losses must be built."""
    weights = []
    for kind in ("fixed", execution):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((4,))
        outputs = [keras.layers.Dense(3, activation="softmax")(inputs)]
        model = ks.scale(keras.Model(inputs, outputs), execution=kind)
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0)
        weights.append(np.concatenate([w.ravel() for w in model.get_weights()]))
    np.testing.assert_allclose(weights[0], weights[1], rtol=1e-5, atol=1e-7)


def test_the_same_short_training_runs_the_same_way_again(monkeypatch, capfd):
    monkeypatch.setattr(trials, "_WINDOW_SECONDS", 0.01)
    layers = [keras.layers.Dense(7)]  # Of no other test.
    modes = [
        autotune.choose(_model(layers=layers), _batches(), total_steps=100)[0]
        for _ in range(2)
    ]
    assert modes[0].kind == "loop"
    assert modes[0] == modes[1]
    assert capfd.readouterr().err.count("measured before") == 1


@pytest.mark.slow
def test_tracing_is_not_taken_for_the_time_of_a_slow_step(monkeypatch):
    monkeypatch.setattr(autotune_cache, "WORTH_COMPILING_SECONDS", 0.0)
    monkeypatch.setattr(trials, "_WINDOW_SECONDS", 1e-9)  # Any step is slow.
    known = trials.Trial(_model(), _batches()).run(10**6)
    # Far more than an epoch's steps are made in a second.
    assert known.steps == _batches().steps_per_epoch


def test_a_program_that_is_kept_is_worth_it_sooner(monkeypatch):
    loop, program = (
        autotune_cache.Known(0.1, 10, compiled, 20) for compiled in (None, "split")
    )
    monkeypatch.setenv("TF_XLA_FLAGS", "")
    assert loop.enough == program.enough == pytest.approx(100)
    monkeypatch.setenv("TF_XLA_FLAGS", "--tf_xla_persistent_cache_directory=/a")
    assert loop.enough == pytest.approx(50)
    assert program.enough == pytest.approx(20)
    assert program.mode(19).kind == "loop"
    assert program.mode(20) == Mode("split", 20)


def test_what_cannot_be_undone_is_not_tried():
    counter = tf.Variable(0)

    class Counting(keras.layers.Layer):
        def call(self, x):
            counter.assign_add(1)
            return x

    model = _model(layers=[Counting()])
    mode, _ = autotune.choose(model, _batches(), total_steps=10**6)
    assert mode == Mode("loop", 1)
    assert autotune_cache.read(model, _batches()) is None


def test_convolutions_are_not_tried_as_one_program_on_a_cpu(monkeypatch):
    monkeypatch.setattr(autotune_cache, "WORTH_COMPILING_SECONDS", 0.0)
    monkeypatch.setattr(trials, "_WINDOW_SECONDS", 0.01)
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [])
    layers = [
        keras.layers.Reshape((4, 2, 1)),
        keras.layers.Conv2D(2, 2),
        keras.layers.Flatten(),
    ]
    mode, _ = autotune.choose(_model(layers=layers), _batches(), total_steps=1000)
    assert mode.kind == "loop"


def test_callbacks_that_look_at_every_step_get_it(capfd):
    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            pass

    class Seldom(Look):
        every_step = False

    wants = autotune.wants_every_step
    assert wants(Look())
    assert wants(keras.callbacks.LambdaCallback(on_train_batch_end=print))
    assert wants(keras.callbacks.ModelCheckpoint("a.keras", save_freq=3))
    assert not wants(Seldom())
    assert not wants(keras.callbacks.ModelCheckpoint("a.keras"))
    assert not wants(keras.callbacks.EarlyStopping())
    assert not wants(ks.callbacks.FailOnNonFinite())
    mode, _ = autotune.choose(_model(), _batches(), 10**6, [Look()])
    assert mode == Mode("loop", 1)
    assert "because Look looks at every step" in capfd.readouterr().err


def _watched(**options):
    seen = []

    class Look(keras.callbacks.Callback):
        every_step = False

        def on_train_batch_end(self, batch, logs=None):
            seen.append(self.model.steps_per_execution)

    model = _model()
    for name, value in options.pop("model", {}).items():
        setattr(model, name, value)
    x, y = np.tile(X, (8, 1)), np.tile(Y, 8)
    _fit(model, x, y, callbacks=[Look(), *options.pop("callbacks", [])], **options)
    return model, seen


def test_fit_chooses_by_itself(capfd, monkeypatch):
    one, seen = _watched(model={"execution": "fixed"})
    assert set(seen) == {1}
    auto, seen = _watched(verbose=2)
    assert max(seen) > 1
    assert f"execution: a loop of {seen[0]} steps" in capfd.readouterr().err
    for a, b in zip(_state(one), _state(auto), strict=True):
        np.testing.assert_array_equal(a, b)  # The same operations, in a loop.

    # Traced once, chosen once.
    function = auto.train_function
    # However slow the machine is: so few steps are worth no program of XLA.
    chosen = dataclasses.replace(vars(auto)[autotune._CHOSEN], enough=10**9)
    monkeypatch.setitem(vars(auto), autotune._CHOSEN, chosen)
    monkeypatch.setattr(trials, "Trial", lambda *_: pytest.fail("a second trial"))
    _fit(auto, np.tile(X, (8, 1)), np.tile(Y, 8))
    assert auto.train_function is function

    # As long as these data let them be.
    quick = dataclasses.replace(step_functions.mode_of(auto), most=10**4)
    step_functions.set_mode(auto, quick)
    _fit(auto, np.tile(X, (16, 1)), np.tile(Y, 16), epochs=1)
    assert auto.train_function is function
    assert step_functions.mode_of(auto).steps == 2 * seen[0]


@pytest.mark.parametrize(
    ("most", "steps"), [(4, 4), (6, 5), (9, 5), (10, 10), (99, 10)]
)
def test_executions_of_an_epoch_are_about_equal(most, steps):
    # 10 steps in an epoch.
    assert trials.Trial(_model(), _batches())._even(most) == steps


@pytest.mark.slow
def test_many_short_fits_are_a_long_one(monkeypatch):
    monkeypatch.setattr(trials, "_WINDOW_SECONDS", 0.01)
    monkeypatch.setattr(trials, "_CLEARLY", 1000.0)  # What XLA compiles is taken.
    x, y = np.tile(X, (8, 1)), np.tile(Y, 8)
    model = _model()
    _fit(model, x, y)
    assert step_functions.mode_of(model).kind == "loop"
    chosen = autotune._chosen(model)
    # As if 150 steps were half of what is worth it.
    vars(model)["_kerascale_chosen"] = dataclasses.replace(chosen, enough=300)
    monkeypatch.setattr(autotune_cache, "WORTH_COMPILING_SECONDS", 0.0)
    _fit(model, x, y, epochs=1)
    assert step_functions.mode_of(model).kind == "loop"
    _fit(model, x, y, epochs=1)
    assert step_functions.mode_of(model).kind != "loop"


def test_few_slow_steps_are_worth_a_choice(monkeypatch):
    """Of 10 steps nobody knows that they are slow before they were made."""
    monkeypatch.setattr(trials, "_WINDOW_SECONDS", 0.01)
    model = _model()
    _fit(model, epochs=1)
    _fit(model, epochs=1)  # Quick ones: 20 steps are not worth it.
    assert step_functions.mode_of(model).steps == 1
    monkeypatch.setattr(model.train_function, "seconds", 1000.0)
    _fit(model, epochs=1)
    assert step_functions.mode_of(model).steps > 1
    assert model.steps_per_execution == 1  # For `predict`, and a loop of one's own.


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "enough"),
    [("_ALL_ARITHMETIC", 0.0), (None, 1e9)],
)
def test_of_a_slow_step_the_parts_are_tried_first(name, enough, monkeypatch):
    monkeypatch.setattr(trials, "_MUCH_ARITHMETIC", 0.0)
    # Where they gain enough, or all that there is to gain, nothing else is tried.
    monkeypatch.setattr(trials, name or "_GAINS_ENOUGH", enough)
    monkeypatch.setattr(trials, "_WORTH_SPLITTING", 0.0)
    monkeypatch.setattr(trials, "_CLEARLY", 1000.0)
    monkeypatch.setattr(split, "num_parts", lambda batch_size: 2)
    model = _model()
    trial = trials.Trial(model, _batches())
    with trials.undone(model):
        known = trial.run(10**7)
    assert known.compiled == "split"
    assert "one program" not in trial.said()
    monkeypatch.setattr(trials, "_CLEARLY", 0.0)  # No gain: the program is tried too.
    trial = trials.Trial(model, _batches())
    with trials.undone(model):
        assert trial.run(10**7).compiled == "loop"
    assert "one program" in trial.said()


def test_fit_does_as_compile_was_told():
    model = _model()
    model.compile("sgd", "sparse_categorical_crossentropy", steps_per_execution=3)
    _fit(model, np.tile(X, (8, 1)), np.tile(Y, 8))
    assert model.steps_per_execution == 3


def test_a_fit_on_other_data_is_told_of_each_batch():
    model, _ = _watched()
    assert step_functions.mode_of(model).steps > 1
    told = []
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: told.append(batch)
    )
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)
    model.fit(data, verbose=0, callbacks=[watch])
    assert told == list(range(len(data)))


def test_a_new_compilation_is_chosen_for_anew():
    model, _ = _watched()
    assert step_functions.mode_of(model).steps > 1
    model.compile("sgd", "sparse_categorical_crossentropy")
    _fit(model)  # 20 steps: nothing to choose.
    assert model.steps_per_execution == 1


def test_fit_calls_callbacks_that_look_at_every_step(capfd):
    class Every(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            steps.append(batch)

    steps = []
    model, _ = _watched(callbacks=[Every()], verbose=2)
    assert steps == [*range(75), *range(75)]
    assert "because Every looks at every step" in capfd.readouterr().err
    # It has gone: many steps at once again.
    _fit(model, np.tile(X, (8, 1)), np.tile(Y, 8))
    assert step_functions.mode_of(model).steps > 1
    # It is there again, in a `fit` that is too short for a choice.
    steps.clear()
    _fit(model, callbacks=[Every()])
    assert steps == [*range(10), *range(10)]


def test_one_program_can_be_asked_for(monkeypatch):
    model, _ = _watched(model={"execution": "one_program"})
    assert model.train_function.kind == "one_program"
    monkeypatch.setenv("KERASCALE_EXECUTION", "one_program")
    other, _ = _watched()
    assert other.train_function.kind == "one_program"
    monkeypatch.setenv("KERASCALE_EXECUTION", "fastest")
    with pytest.raises(ks.RefusedError, match=r"KERASCALE_EXECUTION: .*'fastest'"):
        _watched()


def test_an_unknown_form_is_refused():
    with pytest.raises(ks.RefusedError, match="execution: expected one of auto, fixed"):
        _watched(model={"execution": "quick"})


@pytest.mark.slow
def test_the_choice_is_a_part_of_the_runs_configuration(recipe, tmp_path, monkeypatch):
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    monkeypatch.setattr(
        autotune, "choose", lambda *a, **kw: (Mode("one_program", 8), 1.0)
    )
    config = recipe.Config(epochs=2, units=(8,))
    run = ks.train(recipe, config, run_dir=tmp_path / "run")
    fields = json.loads((tmp_path / "run" / "config.json").read_text())["fields"]
    assert (fields["execution"], fields["steps_per_execution"]) == ("one_program", 8)
    assert run.config.execution == "one_program"
    assert run.model.train_function.kind == "one_program"

    # It goes on as it began.
    monkeypatch.setattr(autotune, "choose", lambda *a, **kw: pytest.fail("a trial"))
    more = recipe.Config(epochs=3, units=(8,))
    run = ks.train(recipe, more, run_dir=tmp_path / "run")
    assert run.config.steps_per_execution == 8
    assert len(run.history["loss"]) == 3


# ----------------------------------------------------------- private names of Keras


def test_operations_that_xla_knows():
    """If it fails: TensorFlow's registry of kernels has moved."""
    assert tensorflow_private.has_xla_kernel("MatMul")
    assert not tensorflow_private.has_xla_kernel("AsString")


def test_stateful_operations():
    """If it fails: TensorFlow's registry of operations has moved."""
    variable = tf.Variable(1.0)

    @tf.function
    def step():
        return variable.assign_add(tf.random.uniform([]))

    found = tensorflow_private.stateful_operations(step.get_concrete_function())
    assert {"AssignAddVariableOp", "RandomUniform"} <= found
