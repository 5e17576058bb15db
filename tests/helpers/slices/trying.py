"""What is done with a case on one device and on two, by the module of the case."""

import contextlib
import io
import time

import keras
import numpy as np
import tensorflow as tf

import kerascale as ks
from kerascale.engine.parity import check
from kerascale.engine.step import build
from kerascale.engine.step.step import TrainStep

keras.config.set_floatx("float64")
keras.config.set_dtype_policy("float64")

ONE = tf.distribute.get_strategy()


def made(case, strategy):
    """A fresh model of a case, and the arguments of `fit`."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    with strategy.scope():
        return case()


def trained(case, strategy, epochs):
    """Name -> value of what a training left: history, weights, other variables."""
    model, data = made(case, strategy)
    history = model.fit(**data, epochs=epochs, verbose=0).history
    left = {f"{i} {v.path}": np.asarray(v) for i, v in enumerate(model.variables)}
    return {f"history {name}": np.array(v) for name, v in history.items()} | left


def furthest(one, two):
    """The largest relative difference of any value."""
    assert one.keys() == two.keys(), one.keys() ^ two.keys()
    worst = 0.0
    for name, value in one.items():
        assert np.all(np.isfinite(value)), name
        norm = np.abs(value).max()
        worst = max(worst, np.abs(value - two[name]).max() / (norm or 1.0))
    return float(worst)


def coupled(case, strategy, epochs=3):
    """Trains on one device and on two."""
    began = time.process_time()
    one, two = (trained(case, s, epochs) for s in (ONE, strategy))
    return {
        "worst": furthest(one, two),
        "updates": [int(v) for n, v in two.items() if n.endswith("/updates")],
        "seconds": time.process_time() - began,
    }


def kept(model):
    """A function that says which variables have changed since, on any replica.

    They are those of the model, its optimizer and its metrics.
    """
    variables = [*model.variables, *model.optimizer.variables]
    variables += [v for metric in model.metrics for v in metric.variables]
    local = model.distribute_strategy.experimental_local_results

    def bits():
        return [[c.numpy().tobytes() for c in local(v.value)] for v in variables]

    before = bits()
    return lambda: [
        variable.path
        for variable, old, new in zip(variables, before, bits(), strict=True)
        if old != new
    ]


def refused(case, strategy):
    """What is said on two devices, twice, and what came of it; then on one."""
    model, data = made(case, strategy)
    call = data.get("call", "fit")
    changed = kept(model)
    said = [_error(model, call, data) for _ in range(2)]
    found = {"said": said, "changed": changed()}
    model, data = made(case, ONE)
    results = _called(model, call, data)
    return {**found, "one": bool(np.isfinite(results).all())}


def _called(model, call, data):
    data = {name: value for name, value in data.items() if name != "call"}
    found = getattr(model, call)(**data, verbose=0)
    return np.concatenate(list(found.history.values())) if call == "fit" else found


def _error(model, call, data):
    try:
        _called(model, call, data)
    except ks.RefusedError as error:
        return str(error)
    return None


def accepted(case, strategy):
    """The difference between one device and two, and what the check itself did."""
    plain, looked = check.check, []

    def looked_at(model, *arguments):
        changed, began = kept(model), time.process_time()
        plain(model, *arguments)
        seconds = time.process_time() - began
        looked.append([arguments[0], changed(), seconds])

    check.check = looked_at
    try:
        one, two = (trained(case, s, 1) for s in (ONE, strategy))
    finally:
        check.check = plain
    return {"worst": furthest(one, two), "looked": looked}


def checked(case, strategy):
    """What the check of a first batch changes, and how long it takes."""
    model, batch = made(case, strategy)
    batch = tf.nest.map_structure(tf.convert_to_tensor, batch)
    build.before_first_step(model, batch)
    changed, began = kept(model), time.process_time()
    check.check(model, "train", batch, TrainStep(model))
    return {"changed": changed(), "seconds": time.process_time() - began}


def unchecked(case, strategy):
    """Trains on two devices: what is said, and the losses."""
    model, data = made(case, strategy)
    with contextlib.redirect_stderr(io.StringIO()) as said:
        history = model.fit(**data, epochs=2, verbose=0).history
    return {"losses": history["loss"], "said": said.getvalue()}


def predicted(case, strategy):
    """The difference between predictions of one device and of two, twice."""
    x = np.random.default_rng(0).normal(size=(17, 6))
    found = []
    for each in (ONE, strategy):
        model, flat = made(case, each), []
        for _ in range(2):  # What is drawn goes on.
            flat += keras.tree.flatten(model.predict(x, batch_size=8, verbose=0))
        flat += keras.tree.flatten(model.predict_on_batch(x[:5]))
        found.append({str(i): np.asarray(values) for i, values in enumerate(flat)})
    return {"worst": furthest(*found)}


def remembered(case, strategy):
    """How often slices were compared, in a training and in another one of the model."""
    plain, compared = check.compare, []

    def counted(*arguments):
        compared.append(arguments)
        return plain(*arguments)

    check.compare = counted
    try:
        model, data = made(case, strategy)
        history = model.fit(**data, epochs=2, verbose=0).history
        model.fit(**data, verbose=0)
    finally:
        check.compare = plain
    return {"compared": len(compared), "losses": history["loss"]}
