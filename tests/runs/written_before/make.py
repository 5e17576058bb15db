"""Writes what stands in this folder: runs, models and an export of version 0.1.0.

It was run once, with kerascale 0.1.0 at commit 6fcaaef, and is kept to say how the
files came about; a later version is tested with what 0.1.0 wrote, so it is not to be
run again to make a test pass. It uses public names and the command line alone.

    python tests/runs/written_before/make.py FOLDER

FOLDER must be new. What it then holds:

- `runs/finished`: a finished run, without `checkpoints` and `tensorboard`, which only
  a run that goes on reads.
- `runs/stopped`: a run with early stopping, stopped by SIGTERM in the middle of its
  third epoch, which is to be the last: one epoch without a better loss was counted.
- `runs/lowered`: a run with a `ReduceLROnPlateau` of the user's, stopped in the middle
  of its sixth epoch: the rate was lowered once, and is to be lowered after it. Without
  `best.weights.h5`: later weights are better.
- `models`: `.keras` files: a scaled Keras model, a subclass of `ks.Model`, and a model
  of `ks.models` with `ClipWeights` and the schedules `Lowered` and `WarmUp`.
- `classes.json`: each model and layer as `keras.saving.serialize_keras_object` has it.
- `served`: the export of `runs/finished`.
- `expected.json`, `answers.npz`: what 0.1.0 read back and computed from them.
"""

import hashlib
import json
import os
import pathlib
import platform
import shutil
import signal
import subprocess
import sys

import keras
import numpy as np

import kerascale as ks

FINISHED = ["--units", "8", "--epochs", "3", "--batch-size", "128"]
FINISHED += ["--learning-rate", "0.02", "--execution", "fixed"]

# Such a rate that the loss is never better than after the first epoch.
STOPPED = {
    "units": (8,),
    "epochs": 6,
    "batch_size": 256,
    "seed": 1,
    "schedule": "constant",
    "learning_rate": 0.3,
    "early_stopping_patience": 2,
    "execution": "fixed",
}
LOWERED = {
    "units": (),
    "epochs": 7,
    "batch_size": 256,
    "optimizer": "momentum",
    "schedule": "constant",
    "learning_rate": 0.5,
    "execution": "fixed",
}
BATCHES_PER_EPOCH = 5
# Batches: the third of an epoch, the third epoch of one and the sixth of the other.
STOP_AT = {"stopped": 13, "lowered": 28}

# What the layers and models in `classes.json` are made with.
ARGUMENTS = {
    "CNN": {"num_classes": 3, "filters": (4,), "residual": True},
    "CausalTransformer": {"vocabulary_size": 7, "max_length": 5},
    "ConvolutionBlock": {"filters": 4},
    "Dense": {"units": 4},
    "Dropout": {"rate": 0.5},
    "GRU": {"units": 4},
    "LSTM": {"units": 4},
    "MLP": {"num_classes": 3, "units": (4,), "dropout": 0.5},
    "PositionEmbedding": {"max_length": 5},
    "RNN": {"num_classes": 3, "units": (4,), "bidirectional": True},
    "ResidualBlock": {"filters": 4},
    "SelfAttention": {"num_heads": 2},
    "ToSequence": {"patch_size": 2},
    "TokenEmbedding": {"vocabulary_size": 7, "width": 4},
    "Transformer": {"num_classes": 3, "patch_size": 2},
    "TransformerBlock": {"num_heads": 2, "feedforward_width": 8},
    "TransformerStack": {
        "num_layers": 1,
        "num_heads": 2,
        "feedforward_width": 8,
        "max_length": 5,
    },
}

# Images of digits' shape, which need no data set.
IMAGES = (np.arange(6 * 64).reshape(6, 8, 8, 1) * 7 % 17).astype("uint8")
# Rows for the models that are not of the recipe.
ROWS = np.linspace(-1, 1, 6 * 5).reshape(6, 5).astype("float32")


@keras.saving.register_keras_serializable(package="written_before")
class Net(ks.Model):
    """A user's own model."""

    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.dense = keras.layers.Dense(units, activation="softmax")

    def call(self, x):
        return self.dense(x)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def plateau():
    """The callback that `runs/lowered` was given, and is given again."""
    return keras.callbacks.ReduceLROnPlateau(
        monitor="val_loss", factor=0.5, patience=2, min_delta=0.1, cooldown=1
    )


def sums(variables):
    """The sha256 of each variable: type, shape and bytes."""
    arrays = [np.asarray(keras.ops.convert_to_numpy(v)) for v in variables]
    return [
        hashlib.sha256(f"{a.dtype.str} {a.shape} ".encode() + a.tobytes()).hexdigest()
        for a in arrays
    ]


def state(model):
    """What a model and its optimizer hold."""
    return {
        "weights": sums(model.weights),
        "optimizer": sums(model.optimizer.variables),
    }


def memory(callback):
    """What a ReduceLROnPlateau remembers."""
    return {
        "wait": callback.wait,
        "cooldown_counter": callback.cooldown_counter,
        "best": float(callback.best),
    }


def arithmetic():
    """What decides the last bit: the vector units of this CPU, and TensorFlow.

    A sum of the names that begin with avx, fma or amx in /proc/cpuinfo; two machines
    with the same one add and multiply in the same order.
    """
    import tensorflow as tf

    flags = set()
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("flags", "Features")):
                flags |= set(line.partition(":")[2].split())
    except OSError:
        pass
    vector = sorted(f for f in flags if f.startswith(("avx", "fma", "amx", "asimd")))
    # Without oneDNN, others of TensorFlow's kernels compute.
    onednn = os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1")
    text = " ".join([platform.machine(), onednn, *vector])
    return {
        "vector_units": hashlib.sha256(text.encode()).hexdigest()[:16],
        "tensorflow": tf.__version__,
    }


def files(folder):
    """The names of all files in a folder."""
    return sorted(
        path.relative_to(folder).as_posix()
        for path in pathlib.Path(folder).rglob("*")
        if path.is_file()
    )


def make_runs():
    """The three runs, in `runs`, and what the undisturbed ones end with."""
    expected = {}
    _kerascale("train", "mlp", *FINISHED, "--run-dir", "runs/finished")
    finished = ks.load_run("runs/finished")
    expected["finished"] = {
        "files": files("runs/finished"),
        "history": finished.history,
        "metrics": finished.metrics,
        **state(finished.model),
    }
    for part in ("checkpoints", "tensorboard"):
        shutil.rmtree(f"runs/finished/{part}")
    recipe = ks.load_recipe("mlp")
    for name, fields, make in (
        ("stopped", STOPPED, list),
        ("lowered", LOWERED, lambda: [plateau()]),
    ):
        config = recipe.Config(**fields)
        whole = pathlib.Path("undisturbed", name)
        run = ks.train(recipe, config, run_dir=whole, callbacks=make())
        expected[name] = {
            "history": run.history,
            "metrics": run.metrics,
            "files": files(whole),
            "weights": sums(run.model.weights),
        }
        callbacks = make()
        folder = pathlib.Path("runs", name)
        expected[name]["interrupted"] = _stop(recipe, config, folder, callbacks)
        expected[name]["interrupted"]["step"] = STOP_AT[name]
        # The newest checkpoint is enough; the last weights are written anew at the end
        # of the epoch.
        older, newest = sorted(folder.glob("checkpoints/0*"))
        shutil.rmtree(older)
        text = (newest / "state.json").read_text()
        assert json.loads(text)["metadata"]["step"] == STOP_AT[name] % 5 == 3
        (folder / "checkpoints" / "last.weights.h5").unlink()
    losses = expected["lowered"]["history"]["val_loss"]
    assert losses.index(min(losses)) * BATCHES_PER_EPOCH >= STOP_AT["lowered"] - 3
    pathlib.Path("runs/lowered/checkpoints/best.weights.h5").unlink()
    return expected


def _stop(recipe, config, folder, callbacks):
    """Trains until SIGTERM, and returns what was in memory then."""
    seen = {}
    count = 0

    def after_batch(batch, logs):
        nonlocal count
        count += 1
        if count == STOP_AT[folder.name]:
            seen.update(state(stopping.model))
            seen["callbacks"] = [memory(callback) for callback in callbacks]
            os.kill(os.getpid(), signal.SIGTERM)

    # A class of Keras that remembers nothing: it need not be passed again.
    stopping = keras.callbacks.LambdaCallback(on_train_batch_end=after_batch)
    try:
        ks.train(recipe, config, run_dir=folder, callbacks=[*callbacks, stopping])
    except Exception as error:
        if type(error).__name__ != "StoppedError":
            raise
        return seen
    raise AssertionError("the run was not stopped")


def make_models():
    """The `.keras` files in `models`, and what each holds and answers."""
    targets = np.arange(6) % 3
    keras.utils.set_random_seed(5)
    scaled = ks.scale(
        keras.Sequential([keras.Input((5,)), keras.layers.Dense(3, "softmax")])
    )
    scaled.compile("adam", "sparse_categorical_crossentropy")
    net = Net()
    net.compile(keras.optimizers.SGD(0.1, 0.9), "sparse_categorical_crossentropy")
    recipe = ks.load_recipe("mlp")
    config = recipe.Config(
        weight_clip=0.25, warmup_epochs=1.0, optimizer="sgd", learning_rate=0.5
    )
    lowered = ks.models.MLP(3, units=(), **ks.optimizers.layer_options(config))
    optimizer = ks.optimizers.make_optimizer(config, steps_per_epoch=3)
    optimizer.learning_rate = ks.optimizers.Lowered(
        ks.optimizers.make_schedule(config, steps_per_epoch=3), 0.5
    )
    lowered.compile(optimizer, "sparse_categorical_crossentropy")
    expected, answers = {}, {}
    pathlib.Path("models").mkdir()
    for name, model in (("scaled", scaled), ("net", net), ("lowered", lowered)):
        model.fit(ROWS, targets, batch_size=2, epochs=2, verbose=0, shuffle=False)
        model.save(f"models/{name}.keras")
        answers[f"models/{name}"] = model.predict(ROWS, verbose=0)
        expected[name] = {"class": type(model).__name__, **state(model)}
    rate = optimizer._learning_rate
    rates = [float(rate(step)) for step in range(6)]
    expected["lowered"]["rates"] = rates
    return expected, answers


def make_classes():
    """Every model and layer of kerascale as Keras writes it, by its name."""
    made = {
        name: getattr(where, name)(**ARGUMENTS.get(name, {}))
        for where in (ks.layers, ks.models)
        for name in where.__all__
        if name != "Classifier"  # To be subclassed.
    }
    for name in ("standardize_words", "standardize_characters"):
        function = keras.saving.get_registered_object(f"kerascale>{name}")
        made[name] = keras.layers.TextVectorization(standardize=function)
    return {
        name: keras.saving.serialize_keras_object(made[name]) for name in sorted(made)
    }


def _kerascale(*arguments):
    subprocess.run([sys.executable, "-m", "kerascale", *arguments], check=True)


def main(folder):
    """Makes all of it in a new folder."""
    folder = pathlib.Path(folder)
    folder.mkdir()
    os.chdir(folder)
    expected = {"version": ks.__version__, **arithmetic(), "runs": make_runs()}
    expected["models"], answers = make_models()
    pathlib.Path("classes.json").write_text(json.dumps(make_classes()) + "\n")
    _kerascale("export", "runs/finished", "served")
    pathlib.Path("served/.lock").unlink()
    expected["registered"] = sorted(
        name for name in keras.saving.get_custom_objects() if name[:10] == "kerascale>"
    )
    answers["finished"] = ks.load_run("runs/finished").model.predict(IMAGES, verbose=0)
    answers["served"] = answers["finished"]
    pathlib.Path("expected.json").write_text(json.dumps(expected) + "\n")
    np.savez_compressed("answers.npz", **answers)
    shutil.rmtree("undisturbed")


if __name__ == "__main__":
    main(sys.argv[1])
