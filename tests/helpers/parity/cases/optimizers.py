"""One case for each optimizer, and what optimizers do to weights beside updates."""

import keras
from building import mlp, trained
from registry import case


def _with(optimizer):
    return trained(mlp(), optimizer=optimizer)


@case("AdamW, weight decay not on biases", default=("mirrored:2",))
def adamw():
    optimizer = keras.optimizers.AdamW(0.01, weight_decay=0.2)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return _with(optimizer)


@case("Nadam")
def nadam():
    return _with(keras.optimizers.Nadam(0.01))


@case("RMSprop")
def rmsprop():
    return _with(keras.optimizers.RMSprop(0.005, momentum=0.5, centered=True))


@case("Adagrad")
def adagrad():
    return _with(keras.optimizers.Adagrad(0.05))


@case("Adamax")
def adamax():
    return _with(keras.optimizers.Adamax(0.01))


@case("Adadelta")
def adadelta():
    return _with(keras.optimizers.Adadelta(1.0))


@case("Lion")
def lion():
    return _with(keras.optimizers.Lion(0.003))


@case("Adafactor")
def adafactor():
    return _with(keras.optimizers.Adafactor(0.02))


@case("Ftrl")
def ftrl():
    return _with(
        keras.optimizers.Ftrl(
            0.05, l1_regularization_strength=0.01, l2_regularization_strength=0.01
        )
    )


@case("Muon", default=("mirrored:4",))
def muon():
    return _with(keras.optimizers.Muon(0.01))


@case("Lamb")
def lamb():
    return _with(keras.optimizers.Lamb(0.01))


@case("ScheduleFreeAdamW")
def schedule_free_adamw():
    model = mlp()
    optimizer = keras.optimizers.ScheduleFreeAdamW(0.01, warmup_steps=5)
    # Built while the first step is traced, it would copy the weights at each step.
    optimizer.build(model.trainable_variables)
    return trained(model, optimizer=optimizer)


@case("constraints")
def constraints():
    hidden = keras.layers.Dense(
        8,
        activation="tanh",
        kernel_constraint=keras.constraints.MaxNorm(0.7),
        bias_constraint=keras.constraints.NonNeg(),
    )
    return trained(mlp(hidden), optimizer=keras.optimizers.SGD(0.5, momentum=0.5))


@case("learning-rate schedule by step", default=("workers:2",))
def schedule():
    rates = keras.optimizers.schedules.CosineDecay(
        0.0, 40, warmup_target=0.5, warmup_steps=10
    )
    return _with(keras.optimizers.SGD(rates, momentum=0.9))
