"""Which examples are held out: folds, groups, times; and nothing leaks out of them."""

import numpy as np
import pandas as pd
import pytest

import kerascale as ks
from kerascale.datasets import folds, split_columns
from kerascale.datasets.split_columns import SplitColumn
from kerascale.errors import RefusedError

ROWS = 300


@pytest.fixture
def table(tmp_path):
    """Rows of 30 patients; later days have larger values of `a`."""
    generator = np.random.default_rng(0)
    days = generator.integers(0, 60, ROWS)
    frame = pd.DataFrame(
        {
            "a": days * 100.0 + generator.normal(size=ROWS),
            "b": generator.normal(size=ROWS),
            "patient": [f"p{n}" for n in generator.integers(0, 30, ROWS)],
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(days, unit="D"),
            "kind": generator.choice(["x", "y", "y", "y"], ROWS),
        }
    )
    path = tmp_path / "table.csv"
    frame.assign(day=frame["day"].dt.strftime("%Y-%m-%d")).to_csv(path, index=False)
    return path, frame


def _config(recipe, path, **fields):
    dropped = ("patient", "day")
    column = fields.get("group") or fields.get("time")
    return recipe.Config(
        dataset=f"csv:{path}",
        label="kind",
        drop_columns=tuple(name for name in dropped if name != column),
        **fields,
    )


def _rows(datasets, split):
    """Which rows of the table a split has, told by their column `b`."""
    source = getattr(datasets, split).for_evaluation().dataset()
    return np.concatenate([np.asarray(x) for x, *_ in source])[:, 1]


def _places(datasets, frame):
    order = np.argsort(frame["b"].to_numpy(np.float32))
    ordered = frame["b"].to_numpy(np.float32)[order]
    return {
        split: order[np.searchsorted(ordered, _rows(datasets, split))]
        for split in ("train", "validation", "test")
    }


def _folds(recipe, table, **fields):
    path, frame = table
    found = []
    for fold in range(4):
        config = _config(recipe, path, folds=4, fold=fold, **fields)
        found.append(recipe.make_datasets(config))
    return found, [_places(each, frame) for each in found]


def test_each_example_is_tested_on_once_and_classes_have_their_share(recipe, table):
    path, frame = table
    whole = _places(recipe.make_datasets(_config(recipe, path)), frame)
    _, places = _folds(recipe, table)
    tested = np.concatenate([each["test"] for each in places])
    # The test examples of a run without folds are in none of them.
    assert sorted(tested) == sorted([*whole["train"], *whole["validation"]])
    counts = [int((frame["kind"][each["test"]] == "x").sum()) for each in places]
    assert max(counts) - min(counts) <= 1
    for each in places:
        own = [set(each[split]) for split in ("train", "validation", "test")]
        assert len(set.union(*own)) == sum(map(len, own)) == len(tested)


def test_folds_are_a_function_of_the_seed(recipe, table):
    first, again, other = (
        [each["test"].tolist() for each in _folds(recipe, table, seed=seed)[1]]
        for seed in (1, 1, 2)
    )
    assert first == again != other


def test_what_is_fitted_is_fitted_on_the_training_examples_of_the_fold(recipe, table):
    _, frame = table
    found, places = _folds(recipe, table)
    for datasets, own in zip(found, places, strict=True):
        trained = frame[["a", "b"]].to_numpy(np.float32)[own["train"]]
        np.testing.assert_allclose(datasets.mean, trained.mean(axis=0), rtol=1e-5)
    assert len({float(datasets.mean[0]) for datasets in found}) == 4


def test_rows_of_one_group_are_held_out_together(recipe, table):
    path, frame = table
    found, places = _folds(recipe, table, group="patient")
    assert found[0].info.feature_names == ("a", "b")  # It is no feature.
    one = _places(recipe.make_datasets(_config(recipe, path, group="patient")), frame)
    for each in [*places, one]:
        groups = [set(frame["patient"][each[s]]) for s in each]
        assert not groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2]
    sizes = [len(each["test"]) for each in places]
    assert max(sizes) - min(sizes) <= 12


def test_what_is_tested_on_is_later_than_what_was_trained_on(recipe, table):
    path, frame = table
    _, places = _folds(recipe, table, time="day")
    one = _places(recipe.make_datasets(_config(recipe, path, time="day")), frame)
    for each in [*places, one]:
        days = {split: frame["day"][each[split]] for split in each}
        assert days["train"].max() < days["validation"].min()
        assert days["validation"].max() < days["test"].min()
    sizes = [len(each["train"]) for each in places]
    assert sizes == sorted(sizes)


def test_validation_examples_can_be_trained_on(recipe, table):
    path, _ = table
    datasets = recipe.make_datasets(_config(recipe, path, hold_out_validation=False))
    held = recipe.make_datasets(_config(recipe, path)).num_examples
    assert datasets.validation is None
    assert datasets.num_examples == {
        "train": held["train"] + held["validation"],
        "test": held["test"],
    }


def test_what_cannot_be_divided_is_refused_at_once(recipe, table):
    path, _ = table
    config = _config(recipe, path, folds=200, fold=0, group="patent")
    with pytest.raises(RefusedError, match="Did you mean patient") as refused:
        recipe.make_datasets(config)
    assert "folds: expected at most" in str(refused.value)
    few = _config(recipe, path, folds=40, fold=0, group="patient")
    with pytest.raises(RefusedError, match=r"fewer than the \d+ groups"):
        recipe.make_datasets(few)
    with pytest.raises(RefusedError, match="time: expected numbers or dates"):
        recipe.make_datasets(_config(recipe, path, time="patient"))
    with pytest.raises(RefusedError, match="fold: expected which of 3 folds"):
        recipe.make_datasets(_config(recipe, path, folds=3))
    with pytest.raises(RefusedError, match="fold: expected less than folds"):
        recipe.Config(folds=3, fold=3)
    with pytest.raises(RefusedError, match="group: expected csv:, parquet: or npz:"):
        recipe.make_datasets(recipe.Config(group="who"))


def test_groups_of_npz_and_parquet(recipe, table, tmp_path):
    _, frame = table
    np.savez(
        tmp_path / "rows.npz",
        x=frame[["a", "b"]].to_numpy(np.float32),
        y=(frame["kind"] == "x").to_numpy(np.int64),
        patient=frame["patient"].to_numpy("U"),
    )
    frame[["a", "b", "patient", "kind"]].to_parquet(tmp_path / "rows.parquet")
    for config in (
        recipe.Config(dataset=f"npz:{tmp_path}/rows.npz", group="patient"),
        recipe.Config(
            dataset=f"parquet:{tmp_path}/rows.parquet", label="kind", group="patient"
        ),
    ):
        each = _places(recipe.make_datasets(config), frame)
        trained, tested = (set(frame["patient"][each[s]]) for s in ("train", "test"))
        assert trained
        assert tested
        assert not trained & tested


def test_data_of_a_recipe_that_knows_no_folds_is_refused(recipe, recipe_with, tmp_path):
    def make_datasets(config):
        whole = recipe.Config(epochs=1, units=(4,))
        return recipe.make_datasets(whole)

    config = recipe.Config(epochs=1, units=(4,), folds=3, fold=1)
    with pytest.raises(RefusedError, match="of the recipe or of the caller"):
        ks.train(recipe_with(make_datasets), config, run_dir=tmp_path / "run")


@pytest.mark.parametrize("count", [2, 5])
def test_folds_of_numbers_have_the_same_range(count):
    """Labels that are no classes: each fold has small and large ones."""
    labels = np.random.default_rng(1).normal(size=(101, 2))

    class Config:
        folds, fold, seed = count, 0, 3

    held, trained = folds.fold(labels, Config, split_columns.NONE)
    assert held.sum() in (101 // count, -(-101 // count))
    first = labels[:, 0]
    assert abs(np.median(first[held]) - np.median(first[trained])) < 0.3


def test_blocks_of_time_keep_equal_times_together():
    times = np.repeat(np.arange(10), 7)

    class Config:
        folds, fold, seed = 3, 1, 0

    held, trained = folds.fold(np.zeros(70, np.int64), Config, SplitColumn(times=times))
    assert times[trained].max() < times[held].min()
