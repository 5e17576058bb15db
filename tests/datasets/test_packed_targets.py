"""Packed tables of numbers to predict, and of several labels."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

import kerascale as ks
from kerascale.datasets import other_data
from kerascale.datasets.packed import packing, sources
from kerascale.errors import RefusedError

ROWS = 200


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A table in both forms, with two numbers and two labels beside the features."""
    folder = tmp_path_factory.mktemp("targets")
    x = np.random.default_rng(0).normal(size=(ROWS, 3)).round(4)
    frame = pd.DataFrame({f"x{i}": x[:, i] for i in range(3)})
    frame["price"] = (x[:, 0] * 300 + 5000).round(2)
    frame["rank"] = -x[:, 1]
    frame["red"], frame["blue"] = x[:, 0] > 0, (x[:, 1] > 0.5).astype(int)
    frame.to_csv(folder / "t.csv", index=False)
    frame.to_parquet(folder / "t.parquet")
    return folder


def pack(folder, name, label, dest, **options):
    columns = sources.CsvOptions(columns=("x0", "x1", "x2"))
    options = sources.SourceOptions(label=label, csv_options=columns, **options)
    source = sources.open_source(f"{name.rsplit('.', 1)[1]}:{folder / name}", options)
    return packing.pack(source, dest, options=options.of_rows())


@pytest.mark.parametrize("label", ["price,rank", "red,blue"])
def test_targets_are_those_of_the_file(table, tmp_path, label):
    made = [pack(table, n, label, tmp_path / n) for n in ("t.csv", "t.parquet")]
    task = "regression" if label.startswith("price") else "multilabel"
    assert {m.task for m in made} == {task}
    assert made[0].target_names == made[1].target_names == tuple(label.split(","))
    expected = pd.read_csv(table / "t.csv")[label.split(",")].astype("float32")
    for name in ("t.csv", "t.parquet"):
        found = np.fromfile(tmp_path / name / "labels.bin", "<f4").reshape(ROWS, 2)
        np.testing.assert_array_equal(found, expected)


def test_training_sees_what_it_sees_in_memory(table, tmp_path):
    pack(table, "t.csv", "price,rank", tmp_path / "packed")
    recipe = ks.load_recipe("mlp")
    config = recipe.Config(
        dataset=f"csv:{table}/t.csv", label="price,rank", columns=("x0", "x1", "x2")
    )
    memory = recipe.make_datasets(config)
    packed = f"packed:{tmp_path}/packed"
    ours = recipe.make_datasets(recipe.Config(dataset=packed))
    for name in ("task", "target_names", "target_mean", "target_scale", "num_examples"):
        assert getattr(ours.info, name) == getattr(memory.info, name), name
    for split in ("train", "validation", "test"):
        pairs = zip(
            getattr(ours, split).dataset(),
            getattr(memory, split).dataset(),
            strict=True,
        )
        for (x, y), (other_x, other_y) in pairs:
            np.testing.assert_allclose(x, other_x, rtol=1e-6)
            np.testing.assert_array_equal(y, other_y)
    # By their names, in whatever order another folder has them.
    turned = dataclasses.replace(ours.info, target_names=("rank", "price"))
    other = other_data.read_like(packed, turned, {"batch_size": ROWS})
    ((_, y),) = list(other.dataset())
    expected = pd.read_csv(table / "t.csv")[["rank", "price"]].astype("float32")
    np.testing.assert_array_equal(y, expected)


@pytest.mark.slow
def test_a_table_with_words_trains_to_the_bits_of_memory(tmp_path):
    random = np.random.default_rng(0)
    size = random.random(ROWS)
    day = pd.Timestamp("2020-01-01") + pd.to_timedelta((size * 900).astype(int), "D")
    frame = pd.DataFrame(
        {
            "size": [f"{v:.4f}" if v > 0.1 else "" for v in size],
            "kind": random.choice(["a", "b", "c", ""], ROWS),
            "day": day.strftime("%d.%m.%Y"),
            "price": (size * 300).round(2),
        }
    )
    frame.to_csv(tmp_path / "t.csv", index=False)
    options = sources.SourceOptions(label="price")
    source = sources.open_source(f"csv:{tmp_path}/t.csv", options)
    packing.pack(source, tmp_path / "packed", options=options.of_rows())
    recipe, runs = ks.load_recipe("mlp"), []
    for fields in (
        {"dataset": f"csv:{tmp_path}/t.csv", "label": "price"},
        {"dataset": f"packed:{tmp_path}/packed"},
    ):
        config = recipe.Config(epochs=3, batch_size=16, units=(8,), **fields)
        runs.append(ks.train(recipe, config, run_dir=tmp_path / f"run{len(runs)}"))
    ours, theirs = runs
    assert ours.history == theirs.history
    assert ours.metrics == theirs.metrics
    for name in ("columns.json", "evaluation.json"):
        own, other = (tmp_path / f"run{i}" / name for i in range(2))
        assert own.read_text() == other.read_text(), name
    for own, other in zip(
        ours.model.get_weights(), theirs.model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(own, other)


def test_what_is_refused(table, tmp_path, kerascale):
    (tmp_path / "t.csv").write_text("x,y\n1,0.5\n2,none\n3,1.5\n")
    cases = [
        (
            ["--label", "y", "--task", "regression"],
            "expected a number in each row, for --task regression",
        ),
        (["--label", "y", "--task", "multilabel"], "expected several columns"),
        (["--label", "x,y"], "expected a column of features beside the labels"),
    ]
    for arguments, message in cases:
        finished = kerascale("pack", "csv:t.csv", "d", *arguments, cwd=tmp_path)
        assert finished.returncode == 2, finished.stderr
        assert message in " ".join(finished.stderr.split())
    pack(table, "t.csv", "price", tmp_path / "price")
    recipe = ks.load_recipe("mlp")
    config = recipe.Config(dataset=f"packed:{tmp_path}/price", task="binary")
    with pytest.raises(RefusedError, match="expected regression, for which"):
        recipe.make_datasets(config)
    fields = json.loads((tmp_path / "price" / "packed.json").read_text())
    assert fields["class_names"] == []
    assert fields["class_counts"] == {}
