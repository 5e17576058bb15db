"""What cases are made of: numbers, tiny models, one way to train and to report."""

import concurrent.futures
import sys

import keras
import left_out
import numpy as np
import tensorflow as tf

import kerascale as ks
from kerascale.engine.collectives import packing
from kerascale.engine.execution import step_functions
from kerascale.engine.step import shared_update

# Set by the worker: cases then train plain Keras, for what it does itself.
plain = False
# Whether a form of execution is forced, in which no callback sees every step.
is_forced = False
# Whether devices of one processor shall compute as one, which no scope allows.
is_as_one = False
# Where it writes, which case it runs, as which worker of which strategy.
output = None
case_name = None
worker = 0
strategy = None

# Of models whose update workers share.
LARGE_BYTES = shared_update.LEAST_BYTES
SMALL_BYTES = packing.SMALL_BYTES

BATCH = 16
# Ten batches, the last of one example: all replicas but one have none of it.
EXAMPLES = 145


def scaled(model):
    """The model with the step engine; or as it is, where plain Keras is asked."""
    return model if plain else ks.scale(model)


def numbers(*shape, seed=0):
    """Normal random numbers in Keras' float type."""
    values = np.random.default_rng(seed).normal(size=shape)
    return values.astype(keras.config.floatx())


def classes(*shape, count=3, seed=1):
    """Random class numbers."""
    return np.random.default_rng(seed).integers(0, count, shape)


def mlp(*layers, width=4, outputs=3):
    """A classifier of vectors; `layers` are its hidden ones."""
    x = y = keras.Input((width,))
    for layer in layers or (keras.layers.Dense(8, activation="tanh"),):
        y = layer(y)
    y = keras.layers.Dense(outputs, activation="softmax", name="out")(y)
    return scaled(keras.Model(x, y))


class Snapshot(keras.callbacks.Callback):
    """Keeps the weights that the model has after five steps, and all steps' losses."""

    def __init__(self):
        super().__init__()
        self.steps = 0
        self.weights = {}
        self.losses = []
        if is_forced:
            self.every_step = False

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        losses = None if plain else step_functions.step_losses(self.model)
        if losses is not None:
            self.losses.append(losses)
        if is_forced:
            return
        if self.steps == 5:
            self.weights = weights_of(self.model, "after5/")


def weights_of(model, prefix="weights/"):
    """Path -> value of every weight."""
    found = {prefix + v.path: v.numpy() for v in model.weights}
    assert len(found) == len(model.weights), "two weights have one path"
    return found


def result(model, history=None, x=None, y=None):
    """What must agree: weights, steps, history and predictions.

    Predictions are those of models with variables that are left out; with labels there
    are gradients of them too, which one device must find to be zero.
    """
    if is_forced:
        print(f"form {case_name} {_form_of(model)}", file=sys.stderr, flush=True)
    found = weights_of(model)
    if model.optimizer is not None:
        found["optimizer/iterations"] = np.array(model.optimizer.iterations)
    if history is not None:
        found |= {f"history/{k}": np.array(v) for k, v in history.history.items()}
    has_left_out = any(map(left_out.find, found))
    if x is not None and has_left_out:
        predicted = keras.tree.flatten(model.predict(x, verbose=0, batch_size=BATCH))
        found |= {f"predictions/{i}": p for i, p in enumerate(predicted)}
    is_one_device = strategy.num_replicas_in_sync == 1
    if y is not None and has_left_out and is_one_device:
        found |= gradients_of(model, x, y)
    return found


def _form_of(model):
    mode = step_functions.mode_of(model)
    compiled = getattr(model.train_function, "_compiled", None)
    if mode.kind == "compiled" and compiled._step._shared is not None:
        return "shares"
    return "steps" if mode.kind == "loop" and mode.steps == 1 else mode.kind


def gradients_of(model, x, y):
    """Path -> gradient of every trainable variable, over one batch."""
    x, y = keras.tree.map_structure(lambda t: t[:BATCH], (x, y))
    with tf.GradientTape() as tape:
        loss = model.compute_loss(x, y, model(x, training=True))
    gradients = tape.gradient(loss, model.trainable_weights)
    return {
        f"gradient/{v.path}": tf.convert_to_tensor(g).numpy()
        for v, g in zip(model.trainable_weights, gradients, strict=True)
    }


def out_of_scope(function):
    """The function, called in a thread: it is in no strategy's scope."""

    def call(*args, **kwargs):
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            return pool.submit(function, *args, **kwargs).result()

    return call


def trained(
    model,
    x=None,
    y=None,
    *,
    n=EXAMPLES,
    epochs=5,
    optimizer=None,
    loss="sparse_categorical_crossentropy",
    metrics=("accuracy",),
    validation=False,
    fit=(),
    **compile_arguments,
):
    """Compiles, fits for five epochs of ten batches, and reports."""
    x = numbers(n, 4) if x is None else x
    y = classes(n) if y is None else y
    model.compile(
        optimizer or keras.optimizers.SGD(0.1),
        loss,
        metrics=metrics,
        **compile_arguments,
    )
    arguments = {"batch_size": BATCH, "shuffle": False, **dict(fit)}
    if validation:
        # Once; its last batch has one example too.
        part = keras.tree.map_structure(lambda t: t[:33], (x, y))
        arguments = {"validation_data": part, "validation_freq": 5, **arguments}
    snapshot = Snapshot()
    callbacks = [snapshot, *arguments.pop("callbacks", ())]
    fit = out_of_scope(model.fit) if is_as_one else model.fit
    history = fit(x, y, epochs=epochs, verbose=0, callbacks=callbacks, **arguments)
    found = {**result(model, history, x, y), **snapshot.weights}
    if snapshot.losses:
        found["losses"] = np.concatenate(snapshot.losses)
    return found
