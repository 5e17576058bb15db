"""Learning rates follow their formulas; options reach the layers."""

import math

import keras
import numpy as np
import pytest

from kerascale import config, optimizers
from kerascale.optimizers import constraints

STEPS_PER_EPOCH = 10


def _rates(**values):
    schedule = optimizers.make_schedule(
        config.TrainingConfig(learning_rate=0.1, epochs=5, **values), STEPS_PER_EPOCH
    )
    if not callable(schedule):
        return [schedule] * 50
    return [float(schedule(step)) for step in range(50)]


def _formula(schedule, step):
    epoch = step / STEPS_PER_EPOCH
    return {
        "constant": 0.1,
        "exponential_decay": 0.1 * 0.5 ** (epoch / 2),
        "inverse_time": 0.1 / (1 + 0.5 * epoch / 2),
        "cosine": 0.05 * (1 + math.cos(math.pi * epoch / 5)),
    }[schedule]


@pytest.mark.parametrize(
    "schedule", ["constant", "exponential_decay", "inverse_time", "cosine"]
)
def test_schedules_follow_their_formulas(schedule):
    rates = _rates(schedule=schedule, decay_rate=0.5, decay_epochs=2.0)
    expected = [_formula(schedule, step) for step in range(50)]
    np.testing.assert_allclose(rates, expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(
    "schedule", ["constant", "exponential_decay", "inverse_time", "cosine"]
)
def test_warm_up_rises_linearly_and_hands_over(schedule):
    rates = _rates(schedule=schedule, warmup_epochs=1.0)
    np.testing.assert_allclose(rates[:10], 0.01 * np.arange(1, 11), rtol=1e-5)
    assert rates[10] == pytest.approx(0.1, rel=1e-5)
    if schedule != "constant":
        assert rates[49] < rates[10]


def test_warm_up_survives_serialisation():
    before = optimizers.WarmUp(
        keras.optimizers.schedules.ExponentialDecay(0.1, 5, 0.5), 7
    )
    after = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(before)
    )
    assert [float(before(s)) for s in range(20)] == [float(after(s)) for s in range(20)]


def test_warm_up_refuses_no_steps():
    with pytest.raises(ValueError, match=r"warmup_steps: .* Received: warmup_steps=0"):
        optimizers.WarmUp(0.1, 0)


@pytest.mark.parametrize(
    ("name", "kind", "attributes"),
    [
        ("sgd", keras.optimizers.SGD, {"momentum": 0.0, "nesterov": False}),
        ("momentum", keras.optimizers.SGD, {"momentum": 0.8, "nesterov": False}),
        ("nesterov", keras.optimizers.SGD, {"momentum": 0.8, "nesterov": True}),
        ("adagrad", keras.optimizers.Adagrad, {}),
        ("rmsprop", keras.optimizers.RMSprop, {}),
        ("adam", keras.optimizers.Adam, {"weight_decay": None}),
        ("adamw", keras.optimizers.AdamW, {"weight_decay": 0.3}),
    ],
)
def test_optimizers_by_name(name, kind, attributes):
    made = optimizers.make_optimizer(
        config.TrainingConfig(
            optimizer=name, momentum=0.8, weight_decay=0.3, global_clipnorm=2.0
        ),
        STEPS_PER_EPOCH,
    )
    assert type(made) is kind
    assert made.global_clipnorm == 2.0
    for attribute, value in attributes.items():
        assert getattr(made, attribute) == value


def test_layer_options():
    options = optimizers.layer_options(
        config.TrainingConfig(
            l1=0.1, l2=0.2, dropout=0.3, weight_clip=0.5, initializer="he_normal"
        )
    )
    assert options["dropout"] == 0.3
    assert options["kernel_initializer"] == "he_normal"
    penalty = options["kernel_regularizer"](np.array([2.0], dtype="float32"))
    assert float(penalty) == pytest.approx(0.1 * 2 + 0.2 * 4)
    assert isinstance(options["kernel_constraint"], constraints.ClipWeights)
    clipped = options["kernel_constraint"](np.array([-3.0, 0.1, 3.0], dtype="float32"))
    np.testing.assert_allclose(clipped, [-0.5, 0.1, 0.5])
