"""Mixed precision: loss scales, skipped steps."""

import keras
import numpy as np
import tensorflow as tf
from building import BATCH, classes, mlp, numbers, result, scaled, trained
from registry import case

MIXED = ("mixed_float16", "mixed_bfloat16")


@case("mixed precision", default=("workers:2",), precisions=MIXED)
def mixed_precision():
    return trained(
        mlp(),
        optimizer=keras.optimizers.Adam(0.01, global_clipnorm=0.5),
        validation=True,
    )


@case("mixed precision, BatchNormalization", precisions=MIXED)
def mixed_precision_batch_normalization():
    layers = [
        keras.layers.Dense(8, name="before_norm"),
        keras.layers.BatchNormalization(momentum=0.8),
        keras.layers.Activation("tanh"),
    ]
    return trained(mlp(*layers))


class Scales(keras.callbacks.Callback):
    """Keeps the loss scale and the number of updates after every step."""

    def __init__(self):
        super().__init__()
        self.scales = []
        self.updates = []

    def on_train_batch_end(self, batch, logs=None):
        optimizer = self.model.optimizer
        self.scales.append(float(tf.convert_to_tensor(optimizer.dynamic_scale)))
        iterations = optimizer.inner_optimizer.iterations
        self.updates.append(int(tf.convert_to_tensor(iterations)))


def _overflowing(optimizer, **compile_arguments):
    x, y = numbers(65, 4), classes(65)
    # In the first slice of the second batch, and in the last slice of the fourth.
    # Equal rows of all classes: two of three are wrong by all that there is.
    for rows in (slice(16, 19), slice(61, 64)):
        x[rows], y[rows] = 1000, [0, 1, 2]
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(8, activation="relu")(inputs)
    # A saturated softmax would hide the error behind a gradient of zero.
    model = scaled(keras.Model(inputs, keras.layers.Dense(3)(hidden)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    compile_arguments = {"metrics": ["accuracy"], **compile_arguments}
    return _with_scales(model, x, y, optimizer, loss, **compile_arguments)


def _with_scales(model, x, y, optimizer, loss, **compile_arguments):
    scales = Scales()
    model.compile(
        keras.optimizers.LossScaleOptimizer(
            optimizer, initial_scale=2.0**12, dynamic_growth_steps=7
        ),
        loss,
        **compile_arguments,
    )
    history = model.fit(
        x,
        y,
        batch_size=BATCH,
        epochs=6,
        shuffle=False,
        verbose=0,
        callbacks=[scales],
    )
    skipped = len(scales.updates) - scales.updates[-1]
    assert skipped > 0, "nothing has overflowed"
    assert all(np.isfinite(w).all() for w in model.get_weights())
    return {
        **result(model, history),
        "exact/scales": np.array(scales.scales),
        "exact/updates": np.array(scales.updates),
    }


@case(
    "float16, overflow on one replica",
    default=("mirrored:2",),
    precisions=("mixed_float16",),
)
def overflow():
    return _overflowing(keras.optimizers.SGD(0.001, momentum=0.5))


@case(
    "float16, overflow of the sum of slices, each of which is finite",
    default=("mirrored:2",),
    precisions=("mixed_float16",),
)
def overflow_of_a_sum():
    x, y = 0.01 * numbers(65, 4), classes(65)
    # Neighbours in two slices. A row adds x * scale / 48, whatever the weights are.
    x[7:9] = 600
    inputs = keras.Input((4,))
    model = scaled(keras.Model(inputs, keras.layers.Dense(3)(inputs)))
    optimizer = keras.optimizers.SGD(1e-6)
    return _with_scales(model, x, y, optimizer, lambda _, y: keras.ops.mean(y, axis=-1))


@case("float16, overflow, accumulation", precisions=("mixed_float16",))
def overflow_accumulation():
    return _overflowing(keras.optimizers.Adam(0.01, gradient_accumulation_steps=2))


@case("float16, overflow, EMA, clipping, weight decay", precisions=("mixed_float16",))
def overflow_ema():
    return _overflowing(
        keras.optimizers.AdamW(
            0.01,
            weight_decay=0.1,
            global_clipnorm=0.5,
            use_ema=True,
            ema_overwrite_frequency=3,
        )
    )


@case("float16, overflow, jit_compile", precisions=("mixed_float16",))
def overflow_jit_compile():
    return _overflowing(keras.optimizers.SGD(0.001), jit_compile=True)
