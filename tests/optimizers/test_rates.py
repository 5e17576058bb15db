"""Rates under accumulation, and rates that are lowered after a blow-up."""

import keras
import numpy as np
import pytest

from kerascale import config, optimizers
from kerascale.optimizers import rollback_rates


def test_a_schedule_counts_updates_and_no_micro_batches():
    def rates(parts, steps_per_epoch):
        return optimizers.make_schedule(
            config.TrainingConfig(
                schedule="cosine",
                epochs=5,
                warmup_epochs=1.0,
                batch_size=32,
                gradient_accumulation_steps=parts,
            ),
            steps_per_epoch,
        )

    # Four micro-batches make one update: the same updates, the same rates.
    whole, parts = rates(1, 10), rates(4, 40)
    for update in (0, 9, 10, 30, 49):
        assert float(parts(update)) == pytest.approx(float(whole(update)), rel=1e-6)


def _compiled(rate):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(rate), "mse")
    return model


def test_a_rate_that_is_a_variable_is_lowered():
    model = _compiled(0.5)
    rollback_rates.lower_schedule(model, 0.25)  # It has none.
    rollback_rates.lower_variable(model, 0.25)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.125)


def test_a_schedule_is_lowered_once_by_what_is_told_last():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.5, 10, 0.5)
    model = _compiled(schedule)
    for factor in (0.5, 0.25):  # All of it each time, as a run remembers it.
        rollback_rates.lower_schedule(model, factor)
    rollback_rates.lower_variable(model, 0.25)  # It is none.
    expected = [0.25 * float(schedule(step)) for step in range(0, 30, 10)]
    lowered = model.optimizer._learning_rate
    np.testing.assert_allclose([lowered(step) for step in range(0, 30, 10)], expected)
