"""Words and characters to ids: the same in training, prediction and serving."""

import json
import sys
import unicodedata

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

import kerascale as ks
from kerascale.datasets import text

# Assigned characters only: Python and RE2 know different versions of Unicode.
_ASSIGNED = st.characters(exclude_categories=("Cs", "Cn"))
_CAPITALS = "Élan ΟΔΟΣ İstanbul INDIA Ìle Įžuolas ЖУК Ça straße"
_SMALL = "élan οδος i̇stanbul india ìle įžuolas жук ça straße"


def _objects(*texts):
    return np.array(texts, dtype=object)


def _is_punctuation(character):
    # ASCII's symbols, such as $ and ^, are punctuation too.
    ascii_symbol = character.isascii() and unicodedata.category(character)[0] == "S"
    return ascii_symbol or unicodedata.category(character)[0] == "P"


def _words(string):
    """What stands between white space, by Python's own rules."""
    spaced = "".join(" " if unicodedata.category(c) == "Cc" else c for c in string)
    return [w for w in spaced.split() if not all(map(_is_punctuation, w))]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.text(_ASSIGNED), min_size=1, max_size=8))
@example(["Élan vital", "ÉLAN", "a\0B", "x\u00a0Y\u2003z\x85w\x1cv"])
@example(["ΟΔΟΣ. ΟΔΟΣ-Γ", "İ", "«Oui», “dit”-il…", "don\u2019t _don't_", "€5 100$"])
@example([c + "a" for c in map(chr, range(0x300))])
def test_each_word_of_the_training_texts_has_an_id(texts):
    words = [_words(string) for string in texts]
    longest = max(map(len, words))
    if not longest:
        with pytest.raises(ks.RefusedError, match="expected words"):
            text.word_vectorizer(_objects(*texts), vocabulary_size=10, max_length=4)
        return
    vectorizer = text.word_vectorizer(
        _objects(*texts), vocabulary_size=10_000, max_length=longest
    )
    ids = text.encode(vectorizer, _objects(*texts))
    assert ids.dtype == np.int32
    assert ids.shape == (len(texts), longest)
    assert 1 not in ids
    assert (ids != 0).sum(axis=1).tolist() == [len(found) for found in words]
    # Each word has the id of its own, wherever it stands.
    alone = text.encode(vectorizer, _objects(*(w for found in words for w in found)))
    np.testing.assert_array_equal(alone[:, 0], ids[ids != 0])
    # And every place in the vocabulary is a word's.
    assert set(ids[ids != 0]) == set(range(2, vectorizer.vocabulary_size()))


def test_capitals_and_punctuation_of_all_scripts():
    vectorizer = text.word_vectorizer(
        _objects(_CAPITALS, "Don't «well-known» snake_case 10€ 10$ ^ 👍"),
        vocabulary_size=100,
        max_length=20,
    )
    small = "dont wellknown snakecase 10 10€ 👍".split() + _SMALL.split()
    assert sorted(vectorizer.get_vocabulary()[2:]) == sorted(small)
    np.testing.assert_array_equal(
        text.encode(vectorizer, _objects(_CAPITALS)),
        text.encode(vectorizer, _objects(_SMALL.replace(" ", "\u00a0,\u2003"))),
    )


def test_the_vocabulary_is_by_count_then_token():
    texts = _objects("b a É", "B e é z", "a b c")
    expected = ["", "[UNK]", "b", "a", "é", "c", "e", "z"]
    for size in range(3, 10):
        for order in (texts, texts[::-1]):
            vectorizer = text.word_vectorizer(order, vocabulary_size=size, max_length=4)
            assert vectorizer.get_vocabulary() == expected[:size]


@pytest.mark.parametrize("size", [-1, 0, 2])
def test_a_vocabulary_without_room_is_refused(size):
    with pytest.raises(ks.RefusedError, match=f"at least 3.*Received: {size}"):
        text.word_vectorizer(_objects("a"), vocabulary_size=size, max_length=4)


@pytest.mark.parametrize("texts", [(), ("",), ("...", "\u00a0 — \n", "")])
def test_texts_without_words_are_refused(texts):
    with pytest.raises(ks.RefusedError, match=f"Received: {len(texts)} text"):
        text.word_vectorizer(_objects(*texts), vocabulary_size=9, max_length=4)
    with pytest.raises(ks.RefusedError, match="empty text"):
        text.character_vectorizer("")


@settings(deadline=None, max_examples=60)
@given(st.text(min_size=1))
@example("e\u0301 é\r\n\t👩\u200d👧 \U0010ffff\ufeff\ufffe\u2028\x85")
@example("a\0")
@example("\0")
def test_each_character_has_an_id(string):
    vectorizer = text.character_vectorizer(string)
    ids = text.encode(vectorizer, _objects(string))
    assert ids.dtype == np.int32
    assert ids.shape == (1, len(string))
    assert ids.min() > 1
    vocabulary = vectorizer.get_vocabulary()
    assert "".join(vocabulary[i] for i in ids[0]) == string.replace("\0", "\ufffd")


@pytest.mark.slow
def test_all_characters_there_are():
    string = "".join(map(chr, [*range(0xD800), *range(0xE000, sys.maxunicode + 1)]))
    vectorizer = text.character_vectorizer(string)
    ids = text.encode(vectorizer, _objects(string, "", "a"))
    assert ids.shape == (3, len(string))
    assert len(np.unique(ids[0])) == len(string) - 1  # NUL is U+FFFD.
    assert ids[0].min() > 1
    assert not ids[1].any()
    assert text.encode(vectorizer, _objects("")).shape == (1, 0)


def test_encode_is_the_layer_in_batches(monkeypatch):
    generator = np.random.default_rng(0)
    texts = _objects(*("w " * n for n in generator.integers(0, 9, 50)), "v\0V " * 20)
    vectorizer = text.word_vectorizer(texts, vocabulary_size=9, max_length=12)
    expected = vectorizer(tf.constant(texts)).numpy()
    monkeypatch.setattr(text, "_BATCH", 7)
    np.testing.assert_array_equal(text.encode(vectorizer, texts), expected)
    assert text.encode(vectorizer, texts[:50]).shape == (50, 8)
    assert text.encode(vectorizer, texts[:0]).shape == (0, 0)
    assert text.encode(vectorizer, _objects("", "!")).tolist() == [[0], [0]]


def test_saved_loaded_and_served(tmp_path, run_python):
    texts = [_CAPITALS, "a\u00a0B\u3000«c», never seen", "", "\0!", "tail\0End"]
    words = text.word_vectorizer(_objects(*texts), vocabulary_size=99, max_length=12)
    characters = text.character_vectorizer("".join(texts))
    inputs = keras.Input((), dtype="string")
    ids = [words(inputs), characters(inputs)]
    model = keras.Model(inputs, keras.ops.concatenate(ids, axis=1))
    model.save(tmp_path / "model.keras")
    version = ks.export_saved_model(model, tmp_path / "served", output_name="ids")
    expected = model(tf.constant(texts)).numpy().tolist()

    loaded = run_python(
        """
import json, sys
import kerascale.datasets.text
import keras, tensorflow as tf
model = keras.saving.load_model(sys.argv[1])
print(json.dumps(model(tf.constant(json.loads(sys.argv[2]))).numpy().tolist()))
""",
        tmp_path / "model.keras",
        json.dumps(texts),
        imported=True,
    ).stdout
    assert json.loads(loaded.splitlines()[-1]) == expected

    # TensorFlow alone, on a server in Turkey, where the small I has no dot.
    served = run_python(
        """
import json, sys
sys.modules["keras"] = sys.modules["kerascale"] = None
import tensorflow as tf
serve = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
texts = tf.constant(json.loads(sys.argv[2]))
lower = [tf.strings.lower("I", encoding="utf-8").numpy().decode()]
print(json.dumps([serve(text=texts)["ids"].numpy().tolist(), lower]))
serve(text=tf.constant([b"\\xff broken \\xe9"]))
""",
        version,
        json.dumps(texts),
        env={"LC_ALL": "tr_TR.UTF-8"},
    ).stdout
    answers, lower = json.loads(served.splitlines()[-1])
    assert answers == expected
    assert lower == ["\u0131"], "The locale had no effect: nothing was tested."
