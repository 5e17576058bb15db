"""Every argument and every kind of data of a Keras model, each in a case.

    python drop_in.py plain|one|one_program|split|two [CASE ...]

prints what each case gives, as JSON: with Keras alone on one device, with the engine on
one device, in a forced mode of execution, and on two devices. A case takes a `Make` and
returns numbers or text. `COVERS` says which arguments it is for.
"""

import contextlib
import json
import sys
import traceback

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

CASES = {}
COVERS = {}

_random = np.random.default_rng(3)
X = _random.normal(size=(92, 6))
Y = X @ _random.normal(size=(6, 1)) + 0.3 * _random.normal(size=(92, 1))
IDS = np.arange(92) % 3
WEIGHTS = _random.uniform(size=92)
FIT = {"epochs": 3, "batch_size": 8, "shuffle": False, "verbose": 0}


class Make:
    """Makes models as a user does.

    Args:
        how: See the module.
        scope: That of the strategy.
    """

    def __init__(self, how, scope):
        self.how = how
        self.scope = scope

    def model(self, build, optimizer="sgd", loss="mse", **arguments):
        """A compiled model.

        Args:
            build: Makes it, without weights that depend on what was made before.
            optimizer: A name, or makes one.
            loss: As in `compile`.
            **arguments: As in `compile`.
        """
        keras.utils.set_random_seed(7)
        with self.scope():
            model = self.scaled(build())
            if not isinstance(optimizer, str):
                optimizer = optimizer()
            model.compile(optimizer, loss, **arguments)
        return model

    def scaled(self, model):
        if self.how == "plain":
            return model
        import kerascale as ks

        execution = self.how if self.how in ("one_program", "split") else "fixed"
        return ks.scale(model, execution=execution)


def case(*arguments):
    """Adds a case, for arguments such as `fit.x`."""

    def add(function):
        CASES[function.__name__] = function
        COVERS.setdefault(function.__name__, set()).update(arguments)
        return function

    return add


def dense(units=1, **arguments):
    return keras.Sequential([keras.Input((6,)), keras.layers.Dense(units, **arguments)])


def two_inputs():
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    out = keras.layers.Dense(1)(keras.layers.Concatenate()([a, b]))
    return keras.Model([a, b], out)


def two_outputs():
    x = keras.Input((6,))
    first = keras.layers.Dense(1, name="first")(x)
    return keras.Model(x, [first, keras.layers.Dense(2, name="second")(x)])


def one_output():
    x = keras.Input((6,))
    return keras.Model(x, [keras.layers.Dense(1, name="only")(x)])


def named_outputs():
    x = keras.Input((6,))
    first = keras.layers.Dense(1, name="first")(x)
    second = keras.layers.Dense(2, name="second")(x)
    return keras.Model(x, {"first": first, "second": second})


def batches(*arrays):
    return tf.data.Dataset.from_tensor_slices(arrays).batch(8)


def said(model, history):
    """What a training gives."""
    weights = [float(np.sum(w)) for w in model.get_weights()]
    return {"history": history.history, "weights": weights}


class Seen(keras.callbacks.Callback):
    """Which hooks were called, with what."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def on_epoch_begin(self, epoch, logs=None):
        self.calls.append(f"epoch {epoch}")

    def on_epoch_end(self, epoch, logs=None):
        self.calls.append(f"end {epoch} {sorted(logs)}")

    def on_train_batch_end(self, batch, logs=None):
        self.calls.append(f"batch {batch} {sorted(logs)}")

    def on_test_batch_end(self, batch, logs=None):
        self.calls.append(f"test batch {batch} {sorted(logs)}")

    def on_predict_batch_end(self, batch, logs=None):
        self.calls.append(f"predict batch {batch} {logs['outputs'].shape}")


# ------------------------------------------------------------------------------ fit


@case("fit.x", "fit.y", "fit.batch_size", "fit.epochs", "fit.shuffle", "fit.verbose")
def arrays(make):
    model = make.model(dense)
    return said(model, model.fit(X, Y, **FIT))


@case("fit.validation_data", "fit.validation_batch_size", "fit.sample_weight")
def weighted_and_validated(make):
    model = make.model(dense, weighted_metrics=["mae"])
    history = model.fit(
        X,
        Y,
        **FIT,
        sample_weight=WEIGHTS,
        validation_data=(X[:30], Y[:30], WEIGHTS[:30]),
        validation_batch_size=7,
    )
    return said(model, history)


@case("fit.validation_split", "fit.validation_freq", "fit.initial_epoch")
def split_off(make):
    model = make.model(dense)
    arguments = {"validation_split": 0.25, "validation_freq": 2, "initial_epoch": 1}
    return said(model, model.fit(X, Y, **FIT, **arguments))


@case("fit.class_weight")
def class_weights(make):
    model = make.model(
        lambda: dense(3, activation="softmax"), loss="sparse_categorical_crossentropy"
    )
    history = model.fit(X, IDS, **FIT, class_weight={0: 1.0, 1: 2.0, 2: 0.5})
    return said(model, history)


@case("fit.steps_per_epoch", "fit.validation_steps")
def steps_of_repeated_data(make):
    model = make.model(dense)
    data = batches(X, Y).repeat()
    history = model.fit(
        data,
        epochs=3,
        verbose=0,
        steps_per_epoch=5,
        validation_data=batches(X, Y),
        validation_steps=4,
    )
    return said(model, history)


@case("fit.callbacks", "evaluate.callbacks", "predict.callbacks")
def callbacks(make):
    model, seen = make.model(dense), Seen()
    stop = keras.callbacks.EarlyStopping("val_loss", patience=1, min_delta=10)
    model.fit(X, Y, **FIT, callbacks=[seen, stop], validation_data=(X, Y))
    model.evaluate(X, Y, batch_size=40, verbose=0, callbacks=[seen])
    model.predict(X, batch_size=40, verbose=0, callbacks=[seen])
    return seen.calls


@case("fit.callbacks")
def callback_list(make):
    model, seen = make.model(dense), Seen()
    told = keras.callbacks.CallbackList([seen], add_history=True, model=model)
    model.fit(X, Y, **FIT, callbacks=told)
    return [len(told.callbacks), *seen.calls]


# ---------------------------------------------------------------------- kinds of data


@case("fit.x")
def inputs_in_a_list(make):
    model = make.model(two_inputs)
    return said(model, model.fit([X[:, :3], X[:, 3:]], Y, **FIT))


@case("fit.x")
def inputs_in_a_dict(make):
    model = make.model(two_inputs)
    return said(model, model.fit({"a": X[:, :3], "b": X[:, 3:]}, Y, **FIT))


@case("fit.y")
def one_label_in_a_list(make):
    model = make.model(dense)
    return said(model, model.fit(X, [Y], **FIT))


@case("fit.y", "compile.loss", "compile.metrics")
def one_output_in_a_list(make):
    model = make.model(one_output, loss="mse", metrics=["mae"])
    history = model.fit(X, Y, **FIT, validation_data=(X[:20], Y[:20]))
    return said(model, history)


@case("fit.y", "compile.loss", "compile.loss_weights", "compile.metrics")
def labels_in_a_list(make):
    model = make.model(
        two_outputs,
        loss=["mse", "mae"],
        loss_weights=[1.0, 0.5],
        metrics=[["mae"], None],
    )
    history = model.fit(
        X,
        [Y, np.hstack([Y, -Y])],
        **FIT,
        sample_weight=[WEIGHTS, WEIGHTS[::-1].copy()],
        validation_data=(X[:20], [Y[:20], np.hstack([Y, Y])[:20]]),
    )
    return said(model, history)


@case("fit.y", "compile.loss")
def labels_in_a_dict(make):
    model = make.model(named_outputs, loss={"first": "mse", "second": "mae"})
    return said(model, model.fit(X, {"first": Y, "second": np.hstack([Y, Y])}, **FIT))


@case("fit.x")
def lists_in_tf_data(make):
    model = make.model(two_inputs)
    data = batches(X[:, :3], X[:, 3:], Y).map(lambda a, b, y: ((a, b), y))
    return said(model, model.fit(data, epochs=3, verbose=0))


@case("fit.x", "evaluate.x", "predict.x")
def tf_data(make):
    model = make.model(dense)
    told = said(model, model.fit(batches(X, Y), epochs=3, verbose=0))
    scores = model.evaluate(batches(X, Y), verbose=0)
    return [told, scores, model.predict(batches(X), verbose=0).sum()]


@case("fit.x")
def generator(make):
    model = make.model(dense)

    def rows():
        for begin in range(0, 88, 8):
            yield X[begin : begin + 8], Y[begin : begin + 8]

    return said(model, model.fit(rows(), epochs=1, verbose=0))


@case("fit.x", "evaluate.x", "predict.x")
def py_dataset(make):
    class Data(keras.utils.PyDataset):
        calls, order = 0, np.arange(88)

        def __len__(self):
            return 11

        def __getitem__(self, index):
            rows = self.order[8 * index : 8 * index + 8]
            return X[rows], Y[rows]

        def on_epoch_end(self):
            Data.calls += 1
            self.order = np.random.default_rng(self.calls).permutation(88)

    model, data = make.model(dense), Data()
    told = said(model, model.fit(data, epochs=3, verbose=0, shuffle=False))
    return [told, data.calls, model.evaluate(data, verbose=0)]


@case("fit.x", "fit.y")
def pandas(make):
    model = make.model(dense)
    history = model.fit(pd.DataFrame(X), pd.DataFrame(Y), **FIT)
    return said(model, history)


@case("fit.x")
def an_input_that_is_absent(make):
    class Optional(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def build(self, *shapes):
            self.dense.build((None, 6))
            self.built = True

        def call(self, a, b=None):
            return self.dense(a if b is None else a + b)

        def compute_output_shape(self, a_shape, b_shape=None):
            return (a_shape[0], 1)

    def build():
        a = keras.Input((6,), name="a")
        b = keras.Input((6,), name="b", optional=True)
        return keras.Model({"a": a, "b": b}, Optional()(a, b))

    model = make.model(build)
    return said(model, model.fit({"a": X, "b": None}, Y, **FIT))


# ------------------------------------------------------------------------ the others


@case("evaluate.x", "evaluate.y", "evaluate.batch_size", "evaluate.verbose")
@case("evaluate.sample_weight", "evaluate.return_dict", "evaluate.steps")
def evaluate(make):
    model = make.model(dense, metrics=["mae"], weighted_metrics=["mse"])
    scores = model.evaluate(X, Y, batch_size=8, verbose=0, sample_weight=WEIGHTS)
    named = model.evaluate(X, Y, batch_size=8, verbose=0, return_dict=True)
    return [scores, named, model.evaluate(batches(X, Y), steps=3, verbose=0)]


@case("predict.x", "predict.batch_size", "predict.verbose", "predict.steps")
def predict(make):
    model = make.model(named_outputs, loss={"first": "mse", "second": "mse"})
    found = model.predict(X, batch_size=8, verbose=0)
    few = model.predict(batches(X), steps=3, verbose=0)
    return [{k: [v.shape, v.sum()] for k, v in each.items()} for each in (found, few)]


@case("train_on_batch.x", "train_on_batch.y", "train_on_batch.sample_weight")
@case("train_on_batch.class_weight", "train_on_batch.return_dict")
@case("test_on_batch.x", "test_on_batch.y", "test_on_batch.sample_weight")
@case("test_on_batch.return_dict", "predict_on_batch.x")
def on_batch(make):
    model = make.model(
        lambda: dense(3, activation="softmax"),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    x, y, w = X[:9], IDS[:9], WEIGHTS[:9]
    return [
        model.train_on_batch(x, y),
        model.train_on_batch(x, y, sample_weight=w, return_dict=True),
        model.train_on_batch(x, y, class_weight={0: 1.0, 1: 2.0, 2: 3.0}),
        model.test_on_batch(x, y),
        model.test_on_batch(x, y, sample_weight=w, return_dict=True),
        model.predict_on_batch(x).sum(),
    ]


@case("compile.optimizer", "compile.weighted_metrics", "compile.steps_per_execution")
def many_steps_in_an_execution(make):
    model = make.model(
        dense,
        lambda: keras.optimizers.Adam(0.01),
        weighted_metrics=["mae"],
        steps_per_execution=3,
    )
    return said(model, model.fit(X, Y, **FIT))


@case("compile.run_eagerly")
def eager(make):
    model = make.model(dense, run_eagerly=True)
    return said(model, model.fit(X[:24], Y[:24], **FIT))


@case("compile.jit_compile")
def compiled_by_xla(make):
    model = make.model(dense, jit_compile=True)
    return said(model, model.fit(X, Y, **FIT))


@case("compile.auto_scale_loss")
def loss_is_not_scaled(make):
    model = make.model(dense, auto_scale_loss=False)
    return said(model, model.fit(X, Y, **FIT))


@case("compile.loss", "compile.metrics")
def functions(make):
    def loss(y, p):
        return keras.ops.mean(keras.ops.square(y - p), axis=-1)

    def scalar(y, p):
        return keras.ops.mean(keras.ops.abs(y - p))

    model = make.model(dense, loss=loss, metrics=[scalar])
    return said(model, model.fit(X, Y, **FIT))


@case("fit.x")
def logs_of_a_step_of_ones_own(make):
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, x):
            return self.dense(x)

        def train_step(self, data):
            x, y = data[:2]
            with tf.GradientTape() as tape:
                loss = self.compute_loss(y=y, y_pred=self(x, training=True))
            weights = self.trainable_variables
            gradients = tape.gradient(loss, weights)
            self.optimizer.apply_gradients(zip(gradients, weights, strict=True))
            return {"loss": loss, "twice": 2 * loss}

    model, seen = make.model(Own), Seen()
    told = said(model, model.fit(X, Y, **FIT, callbacks=[seen]))
    return [told, seen.calls, model.train_on_batch(X[:8], Y[:8], return_dict=True)]


@case("fit.x", "evaluate.x")
def metrics_of_ones_own(make):
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, x):
            return self.dense(x)

        def compute_metrics(self, x, y, y_pred, sample_weight=None):
            found = super().compute_metrics(x, y, y_pred, sample_weight)
            return {**found, "norm": keras.ops.norm(self.dense.kernel)}

    model = make.model(Own)
    told = said(model, model.fit(X, Y, **FIT))
    return [told, model.evaluate(X, Y, verbose=0, return_dict=True)]


@case("fit.epochs")
def limits_of_the_configuration(make):
    keras.config.set_max_steps_per_epoch(5)
    keras.config.set_max_epochs(2)
    try:
        model = make.model(dense)
        model.fit(X, Y, **FIT)
        return int(model.optimizer.iterations.numpy())
    finally:
        keras.config.set_max_steps_per_epoch(None)
        keras.config.set_max_epochs(None)


@case("fit.x", "evaluate.x")
def evaluated_before_it_is_scaled(make):
    keras.utils.set_random_seed(7)
    with make.scope():
        model = dense()
        model.compile("sgd", "mse")
    first = model.evaluate(X, Y, verbose=0)
    model = make.scaled(model)
    return [first, said(model, model.fit(X, Y, **FIT, validation_data=(X, Y)))]


def _plain(value):
    """As JSON has it."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value if isinstance(value, str | int) else float(value)


def main(how, *names):
    keras.config.set_floatx("float64")
    keras.utils.disable_interactive_logging()
    scope = contextlib.nullcontext
    if how == "two":
        cpu = tf.config.list_physical_devices("CPU")[0]
        both = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, both)
        strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
        scope = strategy.scope
    make, found = Make(how, scope), {}
    for name in names or CASES:
        try:
            found[name] = _plain(CASES[name](make))
        except Exception:
            found[name] = traceback.format_exc()[-1500:]
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
