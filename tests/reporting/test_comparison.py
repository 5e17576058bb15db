"""Runs that were recorded, made by hand: what is the same, and which epoch is best."""

import pathlib

import numpy as np

from kerascale.reporting import comparison
from kerascale.reporting.run_record import Recorded


def _recorded(losses=(2.0, 1.0, 1.5), val_losses=(2.0, 1.8, 1.4), accuracy=0.9):
    epochs = [
        {"epoch": i, "step": 10 * i, "loss": loss, "val_loss": val}
        for i, (loss, val) in enumerate(zip(losses, val_losses, strict=True), 1)
    ]
    return Recorded(
        name="run",
        path=pathlib.Path("run"),
        config={"recipe": "mlp", "fields": {"seed": 0}, "data": {}},
        epochs=epochs,
        evaluation={"split": "test", "accuracy": accuracy},
        throughput=None,
        losses=np.array(losses),
        events=[],
        checkpoints=[],
    )


def test_runs_are_identical_with_their_evaluation_only():
    assert comparison.compare([_recorded(), _recorded()]).identical
    other = comparison.compare([_recorded(), _recorded(accuracy=0.8)])
    assert not other.identical
    assert other.results["accuracy"] == [0.9, 0.8]


def test_the_best_epoch_is_that_of_the_validation():
    assert _recorded().best_epoch == 3
    assert _recorded(val_losses=(2.0, 1.8, float("nan"))).best_epoch == 2
