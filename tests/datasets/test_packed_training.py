"""Training from packed data equals training in memory, to the last bit."""

import numpy as np
import pytest
from helpers import packing

import kerascale as ks
from kerascale.datasets import memory, splits
from kerascale.datasets.raw import Split

_NAMES = ("a", "b", "c")


def _arrays(kind, count=260):
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 3, count)
    if kind == "image":
        features = generator.integers(0, 256, (count, 8, 8, 1), dtype=np.uint8)
    else:
        features = generator.normal(size=(count, 6)).astype(np.float32)
    return features, labels


def _pack(folder, kind, fraction=0.15, **fields):
    features, labels = _arrays(kind)
    whole = Split(np.arange(len(labels)), labels)
    train, test = splits.split_off(whole, fraction, salt=1)
    train, validation = splits.split_off(train, fraction, salt=2)
    rows = {
        "train": train.features,
        "validation": validation.features,
        "test": test.features,
    }
    if "mean" not in fields:
        found = memory.moments(features[train.features], per_feature=kind == "vector")
        fields["mean"], fields["variance"] = (f.tolist() for f in found)
    return packing.write_flat(
        folder, features, labels, rows, kind=kind, class_names=_NAMES, **fields
    )


def _trained(recipe, config, tmp_path, name, datasets=None):
    run = ks.train(recipe, config, run_dir=tmp_path / name, datasets=datasets)
    return run.history, [np.asarray(w) for w in run.model.get_weights()]


def _assert_equal(one, other):
    assert one[0] == other[0]
    assert len(one[1]) == len(other[1])
    for ours, theirs in zip(one[1], other[1], strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("name", "kind", "fields"),
    [
        ("mlp", "vector", {"class_weight": ("balanced",), "units": (8,)}),
        ("mlp", "vector", {"execution": "one_program", "units": (8,)}),
        ("cnn", "image", {"augment_shift": 0.1, "filters": (4,)}),
        ("cnn", "image", {"image_size": 6, "filters": (4,)}),
        ("mlp", "vector", {"validation_fraction": 0.2, "units": (8,)}),
    ],
)
def test_packed_equals_memory(name, kind, fields, tmp_path):
    _pack(tmp_path / "packed", kind)
    recipe = ks.load_recipe(name)
    config = recipe.Config(epochs=2, dataset=f"packed:{tmp_path}/packed", **fields)
    in_memory = ks.datasets.from_arrays(*_arrays(kind), config, class_names=_NAMES)
    ours = _trained(recipe, config, tmp_path, "packed-run")
    _assert_equal(ours, _trained(recipe, config, tmp_path, "memory-run", in_memory))
