"""Pictures that TFDS prepared as ArrayRecord, read in place: the bits of memory."""

import dataclasses
import pathlib
import re

import numpy as np
import pytest
import tensorflow_datasets as tfds
from helpers.killing import STEPS, assert_near_of_workers, assert_same_of_killed

import kerascale as ks
from kerascale.data.digits import digits_dataset_builder
from kerascale.datasets import host_rows, loading, other_data
from kerascale.datasets.sources import tfds_rows, tfds_source
from kerascale.datasets.sources.tfds_examples import quiet_tfds


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """A TFDS_DATA_DIR with the digits, and with pictures of several sizes."""
    folder = tmp_path_factory.mktemp("tfds")
    generator = np.random.default_rng(0)
    rows = [
        {
            "image": generator.integers(0, 256, (9 + i % 3, 12, 3), dtype=np.uint8),
            "note": f"number {i}",
            "label": i % 2,
        }
        for i in range(60)
    ]
    with quiet_tfds(), pytest.MonkeyPatch.context() as patch:
        digits_dataset_builder.Builder(data_dir=folder).download_and_prepare(
            file_format="array_record"
        )
        tfds.dataset_builders.store_as_tfds_dataset(
            name="sizes",
            version="1.0.0",
            data_dir=folder,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(),
                    "note": tfds.features.Text(),
                    "label": tfds.features.ClassLabel(names=["a", "b"]),
                }
            ),
            split_datasets={
                "train": list(enumerate(rows)),
                "test": [(0, {**rows[0], "label": -1})],
            },
            file_format="array_record",
            disable_shuffling=True,
        )
        patch.setenv("TFDS_DATA_DIR", str(folder))
        yield folder


def _config(dataset="tfds:digits", **fields):
    return ks.load_recipe("cnn").Config(dataset=dataset, batch_size=32, **fields)


def _made(config):
    return loading.from_config(config, kinds=("image",))


def _assert_same_batches(ours, theirs):
    for split in ("train", "validation", "test"):
        pair = (getattr(each, split).dataset(2) for each in (ours, theirs))
        for one, other in zip(*pair, strict=True):
            for tensor, expected in zip(one, other, strict=True):
                assert tensor.dtype == expected.dtype
                np.testing.assert_array_equal(tensor, expected)
    np.testing.assert_allclose(ours.mean, theirs.mean, rtol=1e-12)
    np.testing.assert_allclose(ours.variance, theirs.variance, rtol=1e-12)
    assert ours.num_examples == theirs.num_examples


def test_what_does_not_fit_is_read_in_place(data_dir, monkeypatch, capsys):
    config = _config(augment_flip=True, class_weight=("balanced",), image_size=6)
    theirs = _made(config)
    monkeypatch.setattr(tfds_source, "available_bytes", lambda: 1)
    with pytest.raises(ks.RefusedError, match="fit in memory"):
        _made(dataclasses.replace(config, pack="never"))
    ours = _made(config)
    assert ours.pack == "in-place"
    assert "memory: tfds:digits is read in place, row by row" in capsys.readouterr().err
    _assert_same_batches(ours, theirs)
    # Labels and a sum of all records are read once.
    monkeypatch.setattr(tfds_rows.TfdsRows, "_look", None)
    assert _made(config).info.fingerprint == ours.info.fingerprint
    other = other_data.read_like("tfds:digits", ours.info, {"batch_size": 50})
    expected = theirs.test.dataset().unbatch().batch(50)
    for one, tensors in zip(other.dataset(), expected, strict=True):
        np.testing.assert_array_equal(one[0], tensors[0])
        np.testing.assert_array_equal(one[1], tensors[1])


def test_pictures_of_several_sizes(data_dir, capsys):
    config = _config("tfds:sizes", image_size=10)
    ours = _made(dataclasses.replace(config, pack="in-place"))
    _assert_same_batches(ours, _made(config))
    assert "the test split is not used: 1 of its 1" in capsys.readouterr().err
    with pytest.raises(ks.RefusedError, match="--image-size N"):
        _made(_config("tfds:sizes", pack="in-place"))


def test_what_cannot_be_read_in_place_is_refused(tmp_path, monkeypatch):
    with pytest.raises(ks.RefusedError, match=r"in-place only.*Received: digits; "):
        _made(_config("digits", pack="in-place"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with quiet_tfds():
        digits_dataset_builder.Builder(data_dir=tmp_path).download_and_prepare()
    with pytest.raises(ks.RefusedError, match=r"; it was prepared as tfrecord\."):
        _made(_config(pack="in-place"))


def test_a_bit_that_changes_is_found_and_named(data_dir):
    [file] = pathlib.Path(data_dir).rglob("digits-train.array_record*")
    data = _made(_config(pack="in-place"))
    content = file.read_bytes()
    changed = bytearray(content)
    changed[len(changed) // 2] ^= 1
    file.write_bytes(changed)
    try:
        with pytest.raises(ks.RefusedError, match=f"^{re.escape(str(file))}: expected"):
            tfds_rows.open_rows("tfds:digits", None)
        with pytest.raises(host_rows.RowError) as caught:
            data.train.host.arrays(np.arange(1347))
    finally:
        file.write_bytes(content)
    where = re.escape(str(file))
    wanted = rf"^tfds:digits, train, row \d+: expected a picture in {where}"
    assert re.match(wanted, str(caught.value))


# ------------------------------------------------------------------------ whole runs

_IN_PLACE = ("--dataset", "tfds:digits", "--pack", "in-place")


@pytest.mark.slow
def test_killed_and_gone_on_is_as_undisturbed_in_memory(
    data_dir, train, undisturbed, tmp_path, kerascale
):
    run, steps = tmp_path / "run", (7, STEPS + 3)
    assert_same_of_killed(train, run, undisturbed, steps, _IN_PLACE)
    assert kerascale("evaluate", run, cwd=tmp_path).returncode == 0


@pytest.mark.slow
def test_two_workers_give_one_result_and_one_goes_on_alone(
    data_dir, train, undisturbed, tmp_path
):
    assert_near_of_workers(train, tmp_path / "run", undisturbed, 2, _IN_PLACE)
