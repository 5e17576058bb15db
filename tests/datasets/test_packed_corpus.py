"""A packed text: its windows are those of the text in memory."""

import numpy as np
import pytest

import kerascale as ks
from kerascale.datasets import other_data, text
from kerascale.datasets.packed import layout
from kerascale.datasets.packed.manifest import Manifest
from kerascale.datasets.sources import text_file


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    words = np.random.default_rng(0).choice("fog dawn river stone;\n".split(" "), 900)
    path.write_text(" ".join(words))
    return path


@pytest.fixture(scope="module")
def packed(file, tmp_path_factory):
    """The characters of the file, packed."""
    raw = text_file.load_text(file)
    vectorizer = text.character_vectorizer(raw.train.features[0])
    parts = {
        split: text.encode(vectorizer, getattr(raw, split).features)[0]
        for split in layout.SPLITS
    }
    bounds = np.cumsum([0, *map(len, parts.values())]).tolist()
    folder = tmp_path_factory.mktemp("packed")
    tokens = np.concatenate(list(parts.values())).astype(np.uint16)
    tokens.tofile(folder / layout.FEATURES)
    manifest = Manifest(
        source=f"text:{file}",
        identity={},
        options={},
        kind="corpus",
        encoding=None,
        dtype="uint16",
        shape=(),
        num_rows=len(tokens),
        class_names=(),
        feature_names=(),
        given_splits=("train",),
        held_out_fraction=0.05,
        counts={split: len(part) for split, part in parts.items()},
        class_counts={},
        vocabulary=vectorizer.get_vocabulary()[text.NUM_SPECIAL_TOKENS :],
        ranges={s: bounds[i : i + 2] for i, s in enumerate(parts)},
        fingerprint="0" * 64,
    )
    (folder / layout.MANIFEST).write_text(manifest.to_json())
    return folder


def _config(dataset, **fields):
    recipe = ks.load_recipe("language_model")
    small = {"num_layers": 1, "num_heads": 2, "width": 16, "max_length": 16}
    return recipe, recipe.Config(dataset=dataset, epochs=2, **{**small, **fields})


def test_windows_are_those_of_memory(file, packed):
    recipe, config = _config(f"packed:{packed}")
    ours = recipe.make_datasets(config)
    theirs = recipe.make_datasets(_config(f"text:{file}")[1])
    assert ours.info.vocabulary_size == theirs.info.vocabulary_size
    found = ours.vectorizer.get_vocabulary()
    assert found == theirs.vectorizer.get_vocabulary()
    for split in layout.SPLITS:
        one, other = getattr(ours, split), getattr(theirs, split)
        for pair, expected in zip(one.dataset(3), other.dataset(3), strict=True):
            for tensor, array in zip(pair, expected, strict=True):
                assert tensor.dtype == array.dtype
                np.testing.assert_array_equal(tensor, array)


def test_other_shares_and_texts_without_a_window_are_refused(packed):
    recipe, config = _config(f"packed:{packed}", validation_fraction=0.1)
    with pytest.raises(ks.RefusedError, match=r"expected 0\.05.*Received: 0\.1"):
        recipe.make_datasets(config)
    recipe, config = _config(f"packed:{packed}", max_length=1000)
    with pytest.raises(ks.RefusedError, match=r"test text: expected at least"):
        recipe.make_datasets(config)


def test_a_run_is_evaluated_on_a_text_of_its_own_vocabulary(file, packed):
    recipe, config = _config(f"text:{file}")
    data = recipe.make_datasets(config)
    fields = {"batch_size": 8, "max_length": 16}
    name = f"packed:{packed}"
    ours = other_data.read_like(name, data.info, fields, vectorizer=data.vectorizer)
    theirs = other_data.read_like(
        f"text:{file}", data.info, fields, vectorizer=data.vectorizer
    )
    for one, other in zip(ours.dataset(), theirs.dataset(), strict=True):
        np.testing.assert_array_equal(one[0], other[0])
    another = text.character_vectorizer("xyz")
    with pytest.raises(ks.RefusedError, match="vocabulary of the run"):
        other_data.read_like(name, data.info, fields, vectorizer=another)


@pytest.mark.slow
def test_training_is_that_of_memory(file, packed, tmp_path):
    found = []
    for number, dataset in enumerate((f"packed:{packed}", f"text:{file}")):
        recipe, config = _config(dataset)
        run = ks.train(recipe, config, run_dir=tmp_path / str(number))
        found.append((run.history, run.model.get_weights()))
    (ours, weights), (theirs, expected) = found
    assert ours == theirs
    for one, other in zip(weights, expected, strict=True):
        np.testing.assert_array_equal(one, other)
