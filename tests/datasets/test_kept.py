"""What a process that trains again and again keeps of the data."""

import dataclasses

import pytest

import kerascale as ks
from kerascale.config import TrainingConfig
from kerascale.datasets import kept


@pytest.fixture
def table(tmp_path):
    kept.keep()
    path = tmp_path / "table.csv"
    rows = [f"{i % 7},{i % 3},{'ab'[i % 2]},{i / 7:.3f}" for i in range(60)]
    path.write_text("\n".join(["a,b,word,y", *rows]) + "\n")
    yield path
    kept.forget()


def test_data_is_kept_as_long_as_nothing_that_decides_it_has_changed(table):
    recipe = ks.load_recipe("mlp")
    config = recipe.Config(dataset=f"csv:{table}", label="y")
    first = recipe.make_datasets(config)
    other = dataclasses.replace(
        config, learning_rate=0.1, units=(3,), dropout=0.4, epochs=1, optimizer="adamw"
    )
    assert recipe.make_datasets(other) is first
    for change in (
        {"batch_size": 7},
        {"seed": 3},
        {"folds": 2, "fold": 1},
        {"validation_fraction": 0.3},
        {"drop_columns": ("b",)},
        {"regression_loss": "poisson"},
    ):
        assert recipe.make_datasets(dataclasses.replace(config, **change)) is not first
    assert recipe.make_datasets(config) is first
    table.write_text(table.read_text() + "1,2,a,9.5\n")
    again = recipe.make_datasets(config)
    assert again.info.fingerprint != first.info.fingerprint
    kept.forget()
    assert recipe.make_datasets(config) is not again


def test_no_more_is_kept_than_there_is_room_for(table, monkeypatch):
    recipe = ks.load_recipe("mlp")
    config = recipe.Config(dataset=f"csv:{table}", label="y")
    first = recipe.make_datasets(config)
    size = kept._bytes(first)
    monkeypatch.setattr(kept, "_MOST_BYTES", 2 * size)
    others = [dataclasses.replace(config, seed=seed) for seed in (1, 2)]
    made = [recipe.make_datasets(each) for each in others]
    assert recipe.make_datasets(others[0]) is made[0]
    assert recipe.make_datasets(config) is not first
    kept.forget()
    kept.keep()
    monkeypatch.setattr(kept, "_MOST_BYTES", size - 1)
    assert recipe.make_datasets(others[0]) is not recipe.make_datasets(others[0])


def test_fields_of_training_are_fields():
    names = {field.name for field in dataclasses.fields(TrainingConfig)}
    assert names >= kept._OF_TRAINING
