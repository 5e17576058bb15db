"""The best weights by a metric that the user names."""

import re

import numpy as np
import pytest

import kerascale as ks


def test_the_best_epoch_by_accuracy(recipe, tmp_path, capsys):
    config = recipe.Config(epochs=6, units=(8,), monitor="val_accuracy")
    run = ks.train(recipe, config, run_dir=tmp_path / "run")
    best = int(np.argmax(run.history["val_accuracy"]))
    said = capsys.readouterr().err
    assert f"best weights by val_accuracy: those of epoch {best + 1}" in said
    # The weights are those of that epoch.
    validation = recipe.make_datasets(config).validation.dataset()
    values = run.model.evaluate(validation, return_dict=True, verbose=0)
    assert values["accuracy"] == pytest.approx(run.history["val_accuracy"][best])
    from kerascale.reporting import run_record

    assert run_record.read(run.path).best_epoch == best + 1


def test_early_stopping_by_accuracy(recipe, tmp_path):
    fields = {"learning_rate": 1e-12, "early_stopping_patience": 2}
    config = recipe.Config(epochs=9, units=(4,), monitor="val_accuracy", **fields)
    run = ks.train(recipe, config, run_dir=tmp_path / "run")
    assert len(run.history["val_accuracy"]) == 3


def test_a_metric_that_there_is_not(recipe, tmp_path):
    for name, expected in (
        ("val_acc", "Did you mean val_accuracy"),
        ("auc", "one of loss, accuracy, val_loss, val_accuracy. Received: 'auc'"),
    ):
        with pytest.raises(ks.RefusedError, match=re.escape(expected)):
            ks.train(recipe, recipe.Config(monitor=name), run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()
