"""Trains cells on a mesh, or on TensorFlow: python mesh_cells.py OUT MESH CELL...

MESH is that of `kerascale train`, `fsdp:` before it for that strategy; or `tensorflow`.
"""

import contextlib
import os
import pathlib
import sys

from kerascale.strategies import mesh_peers

BATCH, ROWS, EPOCHS = 32, 145, 10
# What steps on a mesh compute again.
REMAT = "MESH_CELLS_REMAT"

_CELLS = {}


def cell(function):
    """A cell: returns a compiled model, x and y, and arguments of `fit`."""
    _CELLS[function.__name__] = function
    return function


def names():
    """Of all cells."""
    return list(_CELLS)


def _mlp(optimizer, loss="sparse_categorical_crossentropy", dropout=0.3, **options):
    model = ks.models.MLP(4, units=(16, 16), dropout=dropout, **options)
    model.build((None, 8))
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model, _numbers(ROWS, 8), _classes(4), {}


def _numbers(*shape):
    return np.random.default_rng(1).normal(size=shape).astype("float32")


def _classes(count, *shape):
    return np.random.default_rng(2).integers(0, count, (ROWS, *shape)).astype("int32")


@cell
def mlp():
    return _mlp(keras.optimizers.Adam(0.01), kernel_regularizer="l2")


@cell
def causal():
    model = ks.models.CausalTransformer(
        24, max_length=8, num_layers=1, num_heads=4, width=16, dropout=0.1
    )
    model.build((None, 8))
    rate = keras.optimizers.schedules.CosineDecay(0.01, 50)
    model.compile(
        keras.optimizers.AdamW(
            rate, global_clipnorm=0.5, gradient_accumulation_steps=2
        ),
        "sparse_categorical_crossentropy",
    )
    return model, _classes(24, 8), _classes(24, 8), {}


@cell
def transformer():
    model = ks.models.Transformer(
        4, num_layers=1, num_heads=4, width=16, dropout=0.2, patch_size=2
    )
    model.build((None, 8, 8, 1))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model, _numbers(ROWS, 8, 8, 1), _classes(4), {}


@cell
def residual_cnn():
    # With ReLU one activation of millions, 1e-6, is on either side of zero by rounding,
    # and the gradient another one (docs/model_parallel.md).
    model = ks.models.CNN(
        4, filters=(8, 16), residual=True, dense_units=None, activation="gelu"
    )
    model.build((None, 8, 8, 1))
    model.compile(keras.optimizers.SGD(0.05, 0.9), "sparse_categorical_crossentropy")
    return model, _numbers(ROWS, 8, 8, 1), _classes(4), {}


@cell
def lstm():
    model = ks.models.RNN(4, cell="lstm", units=(8,), dropout=0.2)
    model.build((None, 6, 3))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model, _numbers(ROWS, 6, 3), _classes(4), {}


@cell
def gru():
    model = ks.models.RNN(4, cell="gru", units=(8,))
    model.build((None, 6, 3))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model, _numbers(ROWS, 6, 3), _classes(4), {}


@cell
def weights_of_classes():
    model, x, y, _ = _mlp("adam")
    return model, x, y, {"class_weight": {0: 1.0, 1: 2.0, 2: 0.5, 3: 1.0}}


@cell
def accumulation():
    optimizer = keras.optimizers.SGD(
        0.5, global_clipnorm=0.3, gradient_accumulation_steps=3
    )
    return _mlp(optimizer)


@cell
def accumulation_ema():
    optimizer = keras.optimizers.Adam(
        0.01,
        gradient_accumulation_steps=2,
        use_ema=True,
        ema_momentum=0.9,
        ema_overwrite_frequency=5,
    )
    return _mlp(optimizer)


@cell
def ema():
    optimizer = keras.optimizers.Adam(
        0.01, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=7
    )
    return _mlp(optimizer)


@cell
def clipnorm():
    return _mlp(keras.optimizers.SGD(0.5, clipnorm=0.05))


@cell
def clipvalue():
    return _mlp(keras.optimizers.SGD(0.5, clipvalue=0.01))


@cell
def constraint():
    return _mlp("adam", kernel_constraint=keras.constraints.MaxNorm(0.5))


@cell
def loss_scale_factor():
    return _mlp(keras.optimizers.Adam(0.01, loss_scale_factor=256.0))


def _with_optimizer(name):
    def make():
        kinds = keras.optimizers
        made = {
            "sgd": lambda: kinds.SGD(0.1),
            "momentum": lambda: kinds.SGD(0.01, 0.9),
            "nesterov": lambda: kinds.SGD(0.01, 0.9, nesterov=True),
            "adagrad": lambda: kinds.Adagrad(0.01),
            "adadelta": lambda: kinds.Adadelta(1.0),
            "rmsprop": lambda: kinds.RMSprop(0.01),
            "adamw": lambda: kinds.AdamW(0.01),
            "adamax": lambda: kinds.Adamax(0.01),
            "nadam": lambda: kinds.Nadam(0.01),
            "ftrl": lambda: kinds.Ftrl(0.01),
            "lion": lambda: kinds.Lion(1e-3),
            "lamb": lambda: kinds.Lamb(0.01),
            "adafactor": lambda: kinds.Adafactor(0.01),
            "muon": lambda: kinds.Muon(0.01, exclude_layers=["logits"]),
        }[name]()
        return _mlp(made)

    make.__name__ = f"optimizer_{name}"
    return cell(make)


for _name in (
    "sgd",
    "momentum",
    "nesterov",
    "adagrad",
    "adadelta",
    "rmsprop",
    "adamw",
    "adamax",
    "nadam",
    "ftrl",
    "lion",
    "lamb",
    "adafactor",
    "muon",
):
    _with_optimizer(_name)


def _of_policy(policy):
    def make():
        keras.config.set_dtype_policy(policy)
        try:
            return _mlp(keras.optimizers.Adam(0.01))
        finally:
            keras.config.set_dtype_policy("float32")

    make.__name__ = policy
    return cell(make)


_of_policy("mixed_bfloat16")
_of_policy("mixed_float16")


def trained(name, strategy):
    # Of several processes the first one's weights and order are taken.
    place = mesh_peers.here().index
    keras.utils.set_random_seed(3 + place)
    with strategy.scope():
        model, x, y, arguments = _CELLS[name]()
    model.execution = "fixed"
    keras.utils.set_random_seed(5 + place)
    history = model.fit(
        x,
        y,
        batch_size=BATCH,
        epochs=EPOCHS,
        verbose=0,
        validation_data=(x[:BATCH], y[:BATCH]),
        **arguments,
    )
    on_mesh = keras.config.backend() == "jax"
    with strategy.on_host(model) if on_mesh else contextlib.nullcontext():
        found = {
            # A model has another number where others were made before.
            f"{i}:{v.path.partition('/')[2]}": np.array(v.numpy())
            for i, v in enumerate(
                [*model.trainable_variables, *model.non_trainable_variables]
            )
            if "float" in str(v.dtype)
        }
    found["predict"] = np.asarray(
        model.predict(x[: 2 * BATCH], batch_size=BATCH, verbose=0)
    )
    if on_mesh:
        found["share"] = np.array(_share_of_first_device(model))
        counted, problem = throughput_report._count(model, None, may_trace=False)
        found["flops"] = np.array(problem or counted)
    for key, values in history.history.items():
        found[f"history/{key}"] = np.array(values)
    return found


def operations(name):
    """Of a step of a cell, counted in TensorFlow's graph."""
    model, x, y, _ = _CELLS[name]()
    model.execution = "fixed"
    model.fit(x[:BATCH], y[:BATCH], batch_size=BATCH, verbose=0)
    batch = tf.constant(x[:BATCH]), tf.constant(y[:BATCH])
    return flops.count(model.make_train_function().traced_on(batch))


def _share_of_first_device(model):
    """What it holds of the bytes of weights and of the optimizer."""
    values = [v.value for v in (*model.weights, *model.optimizer.variables)]
    own = sum(value.addressable_shards[0].data.nbytes for value in values)
    return own / sum(value.nbytes for value in values)


def main(out, mesh, *cells):
    name, _, axes = mesh.rpartition(":")
    if mesh == "tensorflow":
        strategy = ks.strategies.get("one_device")
    else:
        remat = os.environ.get(REMAT, "none")
        strategy = ks.strategies.get(name or "model_parallel", mesh=axes, remat=remat)
    for each in cells or names():
        found = trained(each, strategy)
        if mesh_peers.here().index == 0:
            np.savez(pathlib.Path(out) / f"{each}.npz", **found)


def load():
    """Imports Keras, whose backend is that of the process."""
    global flops, keras, np, ks, tf, throughput_report
    import keras
    import numpy as np
    import tensorflow as tf

    import kerascale as ks
    from kerascale.training.throughput import flops, throughput_report


if __name__ == "__main__":
    if sys.argv[2] != "tensorflow":
        from kerascale.strategies import mesh_process

        axes = sys.argv[2].rpartition(":")[2]
        os.environ.update(
            mesh_process.environment_for("model_parallel", axes, os.environ)
        )
    load()
    main(*sys.argv[1:])
