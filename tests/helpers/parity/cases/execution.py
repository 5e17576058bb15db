"""How steps are run: many in one call, compiled by XLA, eagerly."""

import keras
import tensorflow as tf
from building import BATCH, classes, mlp, numbers, result, trained
from registry import case


@case("steps_per_execution=3, 10 batches", default=("mirrored:2",))
def steps_per_execution():
    return trained(
        mlp(),
        optimizer=keras.optimizers.Adam(0.01),
        steps_per_execution=3,
        validation=True,
    )


@case("steps_per_execution=12, 10 batches")
def steps_per_execution_larger():
    return trained(mlp(), optimizer=keras.optimizers.Adam(0.01), steps_per_execution=12)


def _repeated(steps_per_execution):
    model = mlp()
    x, y = numbers(145, 4), classes(145)
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH).repeat()
    model.compile(
        keras.optimizers.Adam(0.01),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        steps_per_execution=steps_per_execution,
    )
    # Seven steps end in the middle of the data.
    history = model.fit(
        data,
        epochs=7,
        steps_per_epoch=7,
        validation_data=data,
        validation_steps=3,
        verbose=0,
    )
    return result(model, history, x)


@case("steps_per_epoch of a repeated dataset")
def steps_per_epoch():
    return _repeated(1)


@case("steps_per_epoch=7, steps_per_execution=4")
def steps_per_epoch_and_execution():
    return _repeated(4)


@case("jit_compile", default=("mirrored:2",), precisions=("float64", "float32"))
def jit_compile():
    return trained(
        mlp(),
        optimizer=keras.optimizers.Adam(0.01, global_clipnorm=0.1),
        jit_compile=True,
        validation=True,
    )


@case("jit_compile, accumulation, clipping")
def jit_compile_accumulation():
    return trained(
        mlp(),
        jit_compile=True,
        optimizer=keras.optimizers.Adam(
            0.01, gradient_accumulation_steps=3, global_clipnorm=0.1
        ),
    )


@case("jit_compile, steps_per_execution=3")
def jit_compile_steps_per_execution():
    return trained(
        mlp(),
        optimizer=keras.optimizers.Adam(0.01),
        jit_compile=True,
        steps_per_execution=3,
    )


@case("jit_compile, synchronised BatchNorm")
def jit_compile_batch_normalization():
    layers = [
        keras.layers.Dense(8, name="before_norm"),
        keras.layers.BatchNormalization(momentum=0.9),
        keras.layers.Activation("tanh"),
    ]
    return trained(mlp(*layers), jit_compile=True, validation=True)


@case("jit_compile, EMA, weight decay")
def jit_compile_ema():
    optimizer = keras.optimizers.AdamW(
        0.01,
        weight_decay=0.1,
        use_ema=True,
        ema_momentum=0.9,
        ema_overwrite_frequency=3,
    )
    return trained(mlp(), optimizer=optimizer, jit_compile=True)


@case("run_eagerly")
def run_eagerly():
    return trained(
        mlp(),
        epochs=2,
        optimizer=keras.optimizers.SGD(0.1, global_clipnorm=0.1),
        run_eagerly=True,
        fit={"validation_freq": 1},
        validation=True,
    )
