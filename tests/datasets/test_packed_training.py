"""Batches of packed data are those of data in memory, to the last bit."""

import numpy as np
import pytest

import kerascale as ks
from kerascale.datasets.packed import packing
from kerascale.datasets.packed.sources.in_memory import InMemory
from kerascale.datasets.sources import arrays

_NAMES = ("a", "b", "c")
_SLOW = pytest.mark.slow
_WORDS = "fog dawn lake stone river cloud tree field snow wind".split()


def _raw(kind, count=260):
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 3, count)
    if kind == "image":
        features = generator.integers(0, 256, (count, 8, 8, 1), dtype=np.uint8)
    elif kind == "vector":
        features = generator.normal(size=(count, 6)).astype(np.float32)
    else:
        features = [
            " ".join(generator.choice(_WORDS, generator.integers(1, 9))) + "!"
            for _ in range(count)
        ]
    return arrays.from_numpy(features, labels, class_names=_NAMES)


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """Packs data of a kind, once."""
    made = {}

    def get(kind):
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp("packed") / kind
            packing.pack(InMemory(_raw(kind)), made[kind])
        return made[kind]

    return get


def _both(name, kind, folder, fields):
    recipe = ks.load_recipe(name)
    config = recipe.Config(epochs=2, dataset=f"packed:{folder}", **fields)
    in_memory = ks.datasets.prepare(_raw(kind), config)
    return recipe, config, recipe.make_datasets(config), in_memory


def _assert_same_batches(ours, theirs, epochs=2):
    assert ours.num_examples == theirs.num_examples
    batches = zip(ours.dataset(epochs), theirs.dataset(epochs), strict=True)
    for one, other in batches:
        assert len(one) == len(other)
        for tensor, expected in zip(one, other, strict=True):
            assert tensor.dtype == expected.dtype
            np.testing.assert_array_equal(tensor, expected)


@pytest.mark.parametrize(
    ("name", "kind", "fields"),
    [
        ("mlp", "vector", {"class_weight": ("balanced",)}),
        pytest.param("mlp", "vector", {"validation_fraction": 0.2}, marks=_SLOW),
        ("cnn", "image", {"augment_shift": 0.1, "augment_flip": True}),
        ("cnn", "image", {"image_size": 6}),
        pytest.param("rnn", "text", {}, marks=_SLOW),
        ("rnn", "text", {"vocabulary_size": 6, "max_length": 4}),
        pytest.param("rnn", "text", {"validation_fraction": 0.2}, marks=_SLOW),
    ],
)
def test_batches_are_those_of_memory(name, kind, fields, packed):
    _, _, ours, theirs = _both(name, kind, packed(kind), fields)
    for split in ("train", "validation", "test"):
        _assert_same_batches(getattr(ours, split), getattr(theirs, split))
        _assert_same_batches(
            getattr(ours, split).for_evaluation(),
            getattr(theirs, split).for_evaluation(),
            1,
        )
    np.testing.assert_array_equal(ours.mean, theirs.mean)
    np.testing.assert_array_equal(ours.variance, theirs.variance)
    assert ours.info.input_shape == theirs.info.input_shape
    assert ours.info.vocabulary_size == theirs.info.vocabulary_size
    if ours.vectorizer is not None:
        found = ours.vectorizer.get_vocabulary()
        assert found == theirs.vectorizer.get_vocabulary()


def _trained(recipe, config, folder, datasets=None):
    run = ks.train(recipe, config, run_dir=folder, datasets=datasets)
    return run.history, [np.asarray(w) for w in run.model.get_weights()]


_TRAININGS = [
    ("mlp", "vector", {"units": (8,)}),
    ("mlp", "vector", {"units": (8,), "execution": "one_program"}),
    ("cnn", "image", {"filters": (4,), "augment_shift": 0.1}),
    ("rnn", "text", {"units": (4,), "embedding_dim": 4}),
]


@pytest.mark.parametrize(
    ("name", "kind", "fields"),
    [pytest.param(*training, marks=_SLOW) for training in _TRAININGS],
)
def test_training_is_that_of_memory(name, kind, fields, packed, tmp_path):
    recipe, config, _, in_memory = _both(name, kind, packed(kind), fields)
    ours = _trained(recipe, config, tmp_path / "packed")
    theirs = _trained(recipe, config, tmp_path / "memory", in_memory)
    assert ours[0] == theirs[0]
    for one, other in zip(ours[1], theirs[1], strict=True):
        np.testing.assert_array_equal(one, other)
