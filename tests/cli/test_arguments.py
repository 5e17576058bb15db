"""Which value counts of those that are given twice; what a table shows."""

import json

import pytest

from kerascale import cli, strategies
from kerascale.cli import results
from kerascale.errors import RefusedError
from kerascale.training import train


@pytest.fixture
def trained(monkeypatch):
    """The configurations that `kerascale train` would train."""
    seen = []

    def instead(recipe, config, **options):
        seen.append(config)
        raise RefusedError("that is enough")

    monkeypatch.setattr(train, "train", instead)
    monkeypatch.setattr(strategies, "get", lambda *a, **k: None)
    return seen


def test_a_flag_wins_over_the_file_and_the_file_over_the_default(trained, tmp_path):
    file = tmp_path / "fields.json"
    file.write_text(json.dumps({"epochs": 5, "batch_size": 16}))
    assert cli.main(["train", "mlp", "--config", str(file), "--epochs", "7"]) == 2
    (config,) = trained
    assert (config.epochs, config.batch_size, config.seed) == (7, 16, 0)


def test_rows_of_the_confusion_table_are_the_true_classes():
    lines = results.metrics_table(
        {
            "accuracy": 0.9,
            "per_class": {"cat": {}, "dog": {}},
            "confusion_matrix": [[5, 1], [0, 3]],
        }
    ).splitlines()
    assert lines[-3].split() == ["cat", "dog"]
    assert lines[-2].split() == ["cat", "5", "1"]
    assert lines[-1].split() == ["dog", ".", "3"]
