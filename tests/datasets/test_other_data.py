"""Labelled examples that a run has not seen, in the form that it was trained on."""

import json

import numpy as np
import pytest

import kerascale as ks
from kerascale.cli import main
from kerascale.datasets.other_data import read_like
from kerascale.serving import known_labels


def trained_on(recipe_name, **values):
    """What a run would know of its data."""
    recipe = ks.load_recipe(recipe_name)
    config = recipe.Config(**values)
    datasets = recipe.make_datasets(config)
    fields = {k: getattr(config, k) for k in recipe.Config.__dataclass_fields__}
    return datasets, fields


def examples(batches):
    x, y = zip(*batches.dataset(), strict=True)
    return np.concatenate(x), np.concatenate(y)


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "table.csv"
    rows = "".join(f"{i};{i / 2};{'ab'[i % 2]}\n" for i in range(40))
    path.write_text("x;z;y\n" + rows)
    values = {"dataset": f"csv:{path}", "label": "y", "separator": ";"}
    return trained_on("mlp", **values)


def test_a_table(table, tmp_path):
    datasets, fields = table
    new = tmp_path / "new.csv"
    new.write_text("kind;note;z;x\nb;?;1;2\nb;?;3;4\n")
    batches = read_like(f"csv:{new}", datasets.info, fields, label="kind")
    x, y = examples(batches)
    assert x.tolist() == [[2, 1], [4, 3]]
    assert y.tolist() == [1, 1]
    new.write_text("z;x;y\n1;2;c\n")
    with pytest.raises(
        ks.RefusedError, match=r"among 'a', 'b'.* Received: 'c', in 1 e"
    ):
        read_like(f"csv:{new}", datasets.info, fields)
    with pytest.raises(ks.RefusedError, match="expected vector data, as the run was"):
        read_like("digits", datasets.info, fields)
    with pytest.raises(
        ks.RefusedError, match="label: expected only with csv:, parquet: or tfds: data"
    ):
        read_like("digits", datasets.info, fields, label="y")


def test_images_are_resized_and_arrays_have_indices(tmp_path):
    datasets, fields = trained_on("mlp", dataset="digits")
    images = np.random.default_rng(0).integers(0, 17, (6, 16, 16, 1), dtype=np.uint8)
    np.savez(tmp_path / "new.npz", x=images, y=[0, 3, 3, 7, 7, 0])
    x, y = examples(read_like(f"npz:{tmp_path}/new.npz", datasets.info, fields))
    assert (x.shape, x.dtype) == ((6, 8, 8, 1), np.uint8)
    assert y.tolist() == [0, 3, 3, 7, 7, 0]
    np.savez(tmp_path / "new.npz", x=np.float32(images), y=[0, 3, 3, 7, 7, 0])
    with pytest.raises(
        ks.RefusedError, match=r"shape \(8, 8, 1\) and uint8. Received: .* and float32"
    ):
        read_like(f"npz:{tmp_path}/new.npz", datasets.info, fields)


def test_names_in_arrays(tmp_path):
    x, names = np.arange(40.0).reshape(20, 2), np.array(["b", "a", "c", "b"] * 5)
    np.savez(tmp_path / "old.npz", x=x, y=names)
    datasets, fields = trained_on("mlp", dataset=f"npz:{tmp_path}/old.npz")
    np.savez(tmp_path / "new.npz", x=x[:3], y=names[[0, 2, 3]])
    _, y = examples(read_like(f"npz:{tmp_path}/new.npz", datasets.info, fields))
    assert y.tolist() == [1, 2, 1]
    assert known_labels.of_arrays(tmp_path / "new.npz", ("a", "b", "c")) == list("bcb")
    np.savez(tmp_path / "new.npz", x=x[:3], y=[-1, 1, 1])
    assert known_labels.of_arrays(tmp_path / "new.npz", ("-1", "1")) == ["-1", "1", "1"]
    assert known_labels.of_arrays(tmp_path / "new.npz", ("a", "b")) == ["-1", "b", "b"]


def test_a_text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("to be or not to be, that is the question. " * 40)
    datasets, fields = trained_on(
        "language_model", dataset=f"text:{path}", max_length=16
    )
    batches = read_like(
        f"text:{path}", datasets.info, fields, vectorizer=datasets.vectorizer
    )
    assert batches.num_examples == (42 * 40 - 1) // 16


def test_the_command(run, tmp_path, capsys):
    split = ks.datasets.read("digits").test
    np.savez(tmp_path / "new.npz", x=split.features, y=split.labels)
    new = f"npz:{tmp_path}/new.npz"
    assert main(["evaluate", str(run.path), "--data", new, "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out.splitlines()[-1])["metrics"]
    assert metrics["data"] == new
    assert metrics["accuracy"] == run.metrics["accuracy"]
    arguments = ["evaluate", str(run.path), "--label", "y"]
    assert main(arguments) == 2
    assert "--label: expected with --data" in capsys.readouterr().err
    assert main([*arguments, "--data", new, "--split", "train"]) == 2
    assert "--split: expected without --data" in capsys.readouterr().err
