"""Packed data wherever a data set is taken: other data, predictions, by itself."""

import dataclasses
import json

import numpy as np
import PIL.Image
import pytest

import kerascale as ks
from kerascale.datasets import loading, memory, other_data
from kerascale.datasets.packed import automatic, packing
from kerascale.datasets.packed.sources.in_memory import InMemory
from kerascale.datasets.sources import arrays
from kerascale.errors import TooLargeError


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A CSV file, and what is in it as a packed data set."""
    folder = tmp_path_factory.mktemp("tables")
    generator = np.random.default_rng(0)
    values = generator.normal(size=(120, 3)).astype(np.float32)
    names = np.where(values[:, 0] > 0, "up", "down")
    lines = [
        ",".join([*map(str, v.tolist()), n]) for v, n in zip(values, names, strict=True)
    ]
    file = folder / "table.csv"
    file.write_text("\n".join(["a,b,c,label", *lines]) + "\n")
    raw = arrays.from_numpy(values, names, name=f"csv:{file}")
    raw = dataclasses.replace(raw, feature_names=("a", "b", "c"))
    packing.pack(InMemory(raw), folder / "packed")
    return file, folder / "packed"


@pytest.fixture(scope="module")
def run_on_table(table, tmp_path_factory):
    recipe = ks.load_recipe("mlp")
    config = recipe.Config(
        dataset=f"packed:{table[1]}", epochs=2, units=(4,), validation_fraction=0.3
    )
    return ks.train(recipe, config, run_dir=tmp_path_factory.mktemp("runs") / "run")


def test_other_data_are_those_of_the_file(table, run_on_table):
    file, packed = table
    run = run_on_table
    ours = other_data.read_like(f"packed:{packed}", run.info, run.fields)
    theirs = other_data.read_like(f"csv:{file}", run.info, run.fields, label="label")
    for one, other in zip(ours.dataset(), theirs.dataset(), strict=True):
        for tensor, expected in zip(one, other, strict=True):
            np.testing.assert_array_equal(tensor, expected)


def test_predictions_are_those_of_the_file(table, run_on_table):
    from kerascale.serving import batch_prediction

    ours = batch_prediction.predict(run_on_table, f"packed:{table[1]}")
    theirs = batch_prediction.predict(run_on_table, table[0])
    assert ours.columns.tolist() == theirs.columns.tolist()
    np.testing.assert_array_equal(ours["class"], theirs["class"])
    columns = ["probability_up", "probability_down"]
    np.testing.assert_allclose(ours[columns], theirs[columns], atol=1e-6)
    assert len(ours.attrs["labels"]) == 120


def test_other_data_of_another_kind_are_refused(table, run_on_table, tmp_path):
    raw = arrays.from_numpy(np.zeros((20, 4, 4, 1), np.uint8), np.arange(20) % 2)
    packing.pack(InMemory(raw), tmp_path / "images")
    name = f"packed:{tmp_path}/images"
    info, fields = run_on_table.info, run_on_table.fields
    with pytest.raises(ks.RefusedError, match=r"expected vector data.*image data"):
        other_data.read_like(name, info, fields)
    raw = arrays.from_numpy(np.zeros((20, 4), np.float32), np.arange(20) % 2)
    packing.pack(InMemory(raw), tmp_path / "wide")
    with pytest.raises(ks.RefusedError, match=r"shape \(3,\).*shape \(4,\)"):
        other_data.read_like(f"packed:{tmp_path}/wide", info, fields)


def test_what_does_not_fit_is_packed_once_and_read_from_there(
    tmp_path, monkeypatch, capsys
):
    folder = tmp_path / "pictures"
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        for number in range(20):
            pixels = np.full((6, 6, 3), number, np.uint8)
            PIL.Image.fromarray(pixels).save(folder / name / f"{number}.png")
    recipe = ks.load_recipe("cnn")
    config = recipe.Config(dataset=f"images:{folder}", image_size=4)
    in_memory = recipe.make_datasets(config)
    assert in_memory.pack is None

    def refuse(*args, **kwargs):
        raise TooLargeError("too large")

    monkeypatch.setattr(memory, "refuse_what_does_not_fit", refuse)
    with pytest.raises(TooLargeError):
        recipe.make_datasets(dataclasses.replace(config, pack="never"))
    packed = recipe.make_datasets(config)
    assert packed.pack == "always"
    assert packed.info.name == f"images:{folder}"
    for one, other in zip(
        packed.train.dataset(), in_memory.train.dataset(), strict=True
    ):
        np.testing.assert_array_equal(one[0], other[0])
    said = capsys.readouterr().err
    assert "does not fit in memory: it is packed into" in said
    always = dataclasses.replace(config, pack="always")
    again = loading.from_config(always, kinds=("image",))
    assert again.info.fingerprint == packed.info.fingerprint
    assert "is packed already" in capsys.readouterr().err
    PIL.Image.fromarray(pixels).save(folder / "a" / "new.png")
    changed = loading.from_config(always, kinds=("image",))
    assert sum(changed.info.num_examples.values()) == 41
    assert "has changed since it was packed" in capsys.readouterr().err


def test_a_disk_without_room_is_refused_before_anything_is_packed(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(automatic.shutil, "disk_usage", lambda _: _Usage(free=1000))
    with pytest.raises(ks.RefusedError, match=r"expected .* GB of room in .*Received"):
        automatic._refuse_without_room(tmp_path / "packed", 10**9)


@dataclasses.dataclass
class _Usage:
    free: int


def test_another_version_and_an_unfinished_folder_are_refused(table, tmp_path):
    folder = tmp_path / "packed"
    folder.mkdir()
    with pytest.raises(ks.RefusedError, match=r"no packed\.json"):
        ks.datasets.packed(folder)
    manifest = json.loads((table[1] / "packed.json").read_text())
    (folder / "packed.json").write_text(json.dumps({**manifest, "version": 99}))
    with pytest.raises(ks.RefusedError, match=r"expected version 1.*version 99"):
        ks.datasets.from_packed(folder)
    (folder / "packed.json").write_text(json.dumps(manifest))
    with pytest.raises(ks.RefusedError, match=r"readable file .*index"):
        ks.datasets.from_packed(folder)
