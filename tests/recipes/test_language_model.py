"""The text that `language_model` learns, and the baseline that it must beat."""

import numpy as np
from helpers import trigram

import kerascale as ks
from kerascale.datasets import text
from kerascale.datasets.info import fingerprint


def test_baseline_by_hand():
    """In a text of one repeated pair, the next character is certain."""
    repeated = np.array([0, 1] * 500)
    assert trigram.cross_entropy(repeated, repeated, repeated, 2) < 1e-3


def test_docstring_beats_the_trigram_by_a_tenth_of_a_nat(capsys):
    """The contract test holds the recipe to its docstring; this the docstring."""
    raw = ks.datasets.read("python_reference")
    splits = [raw.train, raw.validation, raw.test]
    vectorizer = text.character_vectorizer(raw.train.features[0])
    ids = [text.encode(vectorizer, split.features)[0] for split in splits]
    baseline = trigram.cross_entropy(*ids, vectorizer.vocabulary_size())
    characters = sum(len(split.features[0]) for split in splits)
    with capsys.disabled():
        print(
            f"\npython_reference: {characters:,} characters, sha256 "
            f"{fingerprint(raw)}; trigram {baseline:.4f} nats per character"
        )
    import test_recipes

    doc = ks.load_recipe("language_model").doc
    _, claimed, margin = test_recipes._RESULT.search(doc).groups()
    assert float(claimed) + float(margin) <= baseline - 0.1
