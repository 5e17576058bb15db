"""Byte pairs: what the library makes of a text, a SavedModel makes, too."""

import json
import random
from pydoc_data.topics import topics

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import rows

import kerascale as ks
from kerascale.datasets import byte_pairs, text
from kerascale.datasets.byte_pair_layer import BytePairEncoding
from kerascale.datasets.packed import packing
from kerascale.datasets.packed.sources import SourceOptions, open_source
from kerascale.datasets.sources import text_blocks
from kerascale.errors import RefusedError
from kerascale.serving.batch_prediction import predict

pytest.importorskip("tokenizers", reason="extra bpe")

CORPUS = "".join(topics[name] for name in sorted(topics)[:12])[:60_000] + "é€😀 日本語 "


@pytest.fixture(scope="module")
def layer():
    return text.corpus_vectorizer(CORPUS, tokenizer="bpe", vocabulary_size=400)


@pytest.fixture(scope="module")
def pairs(layer):
    return byte_pairs.BytePairs(layer.tokenizer)


def strings():
    """Parts of the text, signs of all kinds beside each other, and any characters."""
    draw = random.Random(0)
    signs = "abcX  \n\t\r,.;:!-_'()0123456789éß€日本語😀\0\x7f\u2028\u00a0"
    for _ in range(60):
        start = draw.randrange(len(CORPUS))
        yield CORPUS[start : start + draw.randrange(300)]
        yield "".join(draw.choice(signs) for _ in range(draw.randrange(120)))
        code = draw.choice([(1, 0xD800), (0xE000, 0x110000)])
        yield "".join(chr(draw.randrange(*code)) for _ in range(draw.randrange(40)))
    yield from ("", "a" * 100, "日" * 90, " " * 70, "\n" * 5, "\0")


def test_tensorflow_and_the_library_agree_on_any_text(layer, pairs, tmp_path):
    given = list(strings())
    ids = layer(tf.constant(given)).numpy()
    assert ids.dtype == np.int64
    for string, row in zip(given, ids, strict=True):
        expected = pairs.of(string)
        np.testing.assert_array_equal(row[: len(expected)], expected)
        assert not row[len(expected) :].any()
        assert min(expected, default=2) >= 2
        assert pairs.decode(expected.tolist()) == string.replace("\0", "\ufffd")
    assert layer(tf.constant([], tf.string)).shape == (0, 0)
    # Saved, loaded, and without Keras.
    inputs = keras.Input((), dtype="string")
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "layer.keras")
    loaded = keras.saving.load_model(tmp_path / "layer.keras")
    np.testing.assert_array_equal(loaded(tf.constant(given)), ids)
    model.export(tmp_path / "exported", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "exported"))
    np.testing.assert_array_equal(served.serve(tf.constant(given)), ids)


def test_ids_do_not_depend_on_where_a_text_is_cut(pairs, monkeypatch):
    for whole in (CORPUS[:5000], "日本語" * 700, "x" * 999, "a b" * 500):
        expected = pairs.of(whole)
        for size in (40, 333):
            monkeypatch.setattr(byte_pairs, "_BATCH", size)
            np.testing.assert_array_equal(pairs.of(whole), expected)
        monkeypatch.undo()
    assert byte_pairs.certain_end("ab\ncd  e") == 5
    assert byte_pairs.certain_end(" abc") == 0


def test_the_same_text_gives_the_same_tokenizer(layer, monkeypatch):
    again = text.corpus_vectorizer(CORPUS, tokenizer="bpe", vocabulary_size=400)
    assert again.tokenizer == layer.tokenizer
    assert layer.vocabulary_size() == len(layer.get_vocabulary()) == 400
    assert len(json.loads(layer.tokenizer)["model"]["merges"]) == 400 - 258
    # Of a long text every so many pieces.
    monkeypatch.setattr(byte_pairs, "_PIECE", 10)
    monkeypatch.setattr(byte_pairs, "_SAMPLE", 40)
    parts = [CORPUS[:7], CORPUS[7:95], CORPUS[95:105]]
    assert list(byte_pairs.sample(parts, 105)) == [
        CORPUS[start : start + 10] for start in (0, 30, 60, 90)
    ]


@pytest.mark.parametrize("size", [500, 2**20])
def test_a_text_that_is_streamed(tmp_path, monkeypatch, size):
    monkeypatch.setattr(text_blocks, "BLOCK_BYTES", size)
    (tmp_path / "part-1.txt").write_text(CORPUS[:7000])
    (tmp_path / "part-2.txt").write_text(CORPUS[7000:9000] + "日本語" * 400)
    name = f"text:{tmp_path}"
    options = SourceOptions(
        validation_fraction=0.1, tokenizer="bpe", vocabulary_size=300
    )
    source = open_source(name, options)
    found, states = rows.collected(source)
    raw = ks.datasets.read(name, held_out_fraction=0.1)
    whole = raw.train.features[0]
    own = text.corpus_vectorizer(whole, tokenizer="bpe", vocabulary_size=300)
    assert text.vectorizer_as(source.facts().vocabulary).tokenizer == own.tokenizer
    for split in ("train", "validation", "test"):
        content = getattr(raw, split).features[0]
        tokens = text.tokens_of(own, content)
        np.testing.assert_array_equal(found[split][0], tokens)
        np.testing.assert_array_equal(own(tf.constant([content]))[0], tokens)
    tokens = np.concatenate([found[s][0] for s in ("train", "validation", "test")])
    for state in states[-20:-1:7]:
        rest, _ = rows.collected(open_source(name, options), state)
        rest = [rest[s][0] for s in ("train", "validation", "test") if s in rest]
        rest = np.concatenate([*rest, np.zeros(0, np.uint16)])
        np.testing.assert_array_equal(rest, tokens[len(tokens) - len(rest) :])


def test_what_is_refused(tmp_path, monkeypatch):
    with pytest.raises(RefusedError, match=r"expected at least 259: .* Received: 258"):
        byte_pairs.train([CORPUS], 258)
    path = tmp_path / "text.txt"
    path.write_text(CORPUS)
    name = f"text:{path}"
    with pytest.raises(RefusedError, match="expected only with tokenizer=bpe"):
        open_source(name, SourceOptions(vocabulary_size=300))
    with pytest.raises(RefusedError, match="tokenizer: expected only with text: or py"):
        open_source("digits", SourceOptions(tokenizer="bpe"))
    recipe = ks.load_recipe("language_model")
    with pytest.raises(RefusedError, match="expected only with tokenizer=bpe"):
        recipe.Config(vocabulary_size=300)
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    config = recipe.Config(dataset=name, tokenizer="bpe")
    with pytest.raises(RefusedError, match=r"pip install 'kerascale\[bpe\]'"):
        recipe.make_datasets(config)


def test_python_reference_is_packed_too(tmp_path):
    options = SourceOptions(
        validation_fraction=0.05, tokenizer="bpe", vocabulary_size=300
    )
    source = open_source("python_reference", options)
    made = packing.pack(source, tmp_path / "packed", validation_fraction=0.05)
    assert text.vectorizer_as(made.vocabulary).vocabulary_size() == 300
    assert made.counts["train"] < 400_000


@pytest.mark.slow
def test_a_run_and_its_export(tmp_path):
    """The tokenizer travels with the run, and strings are what a server takes."""
    path = tmp_path / "text.txt"
    path.write_text(CORPUS)
    recipe = ks.load_recipe("language_model")
    config = recipe.Config(
        dataset=f"text:{path}",
        tokenizer="bpe",
        vocabulary_size=300,
        epochs=1,
        num_layers=1,
        width=32,
        max_length=16,
    )
    ks.train(recipe, config, run_dir=tmp_path / "run")
    run = ks.load_run(tmp_path / "run")
    assert isinstance(run.vectorizer, BytePairEncoding)
    written = (tmp_path / "run" / "tokenizer.json").read_text()
    assert written == run.vectorizer.tokenizer
    (tmp_path / "prompts.txt").write_text("The word é\nclass\n")
    frame = predict(run, tmp_path / "prompts.txt")
    assert frame["continuation"].str.len().min() > 100
    version = ks.export_saved_model(run, tmp_path / "served")
    assert (version / "assets.extra" / "tokenizer.json").read_text() == written
    served = tf.saved_model.load(str(version)).signatures["serving_default"]
    answer = served(text=tf.constant(["The word é"]))["probabilities"]
    ids = run.vectorizer(tf.constant(["The word é"]))
    np.testing.assert_allclose(answer, run.model(ids), rtol=1e-5)
