"""What stands between gradients and weights: clipping, accumulation, averages."""

import itertools

import keras
import numpy as np
from building import mlp, scaled, trained
from registry import case

BOTH = ("float64", "float32")


@case("clipnorm")
def clipnorm():
    return trained(mlp(), optimizer=keras.optimizers.SGD(0.5, clipnorm=0.05))


@case("global_clipnorm", default=("mirrored:2",), precisions=BOTH)
def global_clipnorm():
    return trained(mlp(), optimizer=keras.optimizers.SGD(0.5, global_clipnorm=0.05))


@case("clipvalue")
def clipvalue():
    return trained(
        mlp(),
        optimizer=keras.optimizers.SGD(
            0.2, momentum=0.9, nesterov=True, clipvalue=0.01
        ),
    )


@case("gradient_accumulation_steps=3, remainders carried over", default=("mirrored:2",))
def accumulation():
    # Ten micro-batches an epoch: 16 updates of three, and two left at the end.
    return trained(
        mlp(), optimizer=keras.optimizers.Adam(0.03, gradient_accumulation_steps=3)
    )


@case("accumulation, schedule")
def accumulation_schedule():
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay(
        [5, 9], [0.5, 0.1, 2.0]
    )
    return trained(
        mlp(),
        optimizer=keras.optimizers.SGD(
            schedule, momentum=0.5, gradient_accumulation_steps=3
        ),
    )


class CountingRate(keras.optimizers.schedules.LearningRateSchedule):
    """A rate that is one more than the count it is given."""

    def __call__(self, step):
        return 1.0 + keras.ops.cast(step, keras.config.floatx())

    def get_config(self):
        return {}


@case("accumulation, rates that a schedule gave", default=("workers:2",))
def accumulation_schedule_counts():
    # The gradient of the one weight is 1: an update takes the rate away.
    x = keras.Input((1,))
    layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
    model = scaled(keras.Model(x, layer(x)))
    model.compile(
        keras.optimizers.SGD(CountingRate(), gradient_accumulation_steps=2),
        lambda y, y_pred: y_pred,
    )
    weights = [0.0]
    for _ in range(10):
        model.train_on_batch(np.ones((4, 1)), np.ones((4, 1)))
        weights.append(float(layer.kernel.numpy()[0, 0]))
    rates = [a - b for a, b in itertools.pairwise(weights) if a != b]
    return {"rates": np.array(rates)}


@case("accumulation, global_clipnorm", default=("workers:2",))
def accumulation_clipping():
    return trained(
        mlp(),
        optimizer=keras.optimizers.SGD(
            0.5, global_clipnorm=0.05, gradient_accumulation_steps=2
        ),
    )


@case("accumulation, weight decay, EMA, steps_per_execution=4")
def accumulation_of_all_kinds():
    return trained(
        mlp(),
        optimizer=keras.optimizers.AdamW(
            0.02,
            weight_decay=0.1,
            use_ema=True,
            ema_momentum=0.8,
            ema_overwrite_frequency=4,
            gradient_accumulation_steps=3,
        ),
        steps_per_execution=4,
    )


@case("EMA, overwriting every 3 steps", default=("mirrored:2", "mirrored:4"))
def ema_overwrite():
    return trained(
        mlp(),
        optimizer=keras.optimizers.Adam(
            0.01, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=3
        ),
        validation=True,
    )


@case("EMA, overwriting at the end")
def ema_at_the_end():
    return trained(
        mlp(),
        optimizer=keras.optimizers.SGD(
            0.1, global_clipnorm=0.1, use_ema=True, ema_momentum=0.9
        ),
    )
