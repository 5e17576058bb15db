"""A text that is streamed gives the token ids of the text in memory."""

import json
import tracemalloc

import hypothesis
import numpy as np
import pytest
from helpers import rows
from hypothesis import strategies as st

import kerascale as ks
from kerascale.datasets import characters, text
from kerascale.datasets.packed import layout, packing
from kerascale.datasets.packed.sources import SourceOptions, open_source
from kerascale.datasets.sources import text_blocks
from kerascale.errors import RefusedError

SPLITS = ("train", "validation", "test")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "part-10.txt").write_bytes("ende\r\nund ü€😀\r".encode() * 9)
    (tmp_path / "part-2.txt").write_bytes(b"the beginning\nof\0it\r\n" * 9)
    (tmp_path / "notes.csv").write_text("no text")
    return tmp_path


def in_memory(name, fraction=0.05):
    """Split -> token ids, as the layer that is exported makes them; and vocabulary."""
    raw = ks.datasets.read(name, held_out_fraction=fraction)
    vectorizer = text.character_vectorizer(raw.train.features[0])
    ids = {s: text.encode(vectorizer, getattr(raw, s).features)[0] for s in SPLITS}
    return ids, vectorizer.get_vocabulary()[2:]


def streamed(name, fraction=0.05):
    return open_source(name, SourceOptions(validation_fraction=fraction))


def assert_equal(source, expected, state=None, before=None):
    ids, vocabulary = expected
    found, states = rows.collected(source, state)
    assert source.facts().vocabulary == vocabulary
    for split in SPLITS:
        tokens = found.get(split, (np.zeros(0, np.uint16),))[0]
        assert tokens.dtype == np.uint16
        np.testing.assert_array_equal(
            tokens, ids[split][(before or {}).get(split, 0) :]
        )
    return states


@pytest.mark.parametrize("size", [7, 50, 2**20])
def test_a_folder_in_memory_and_streamed(folder, monkeypatch, size):
    monkeypatch.setattr(text_blocks, "BLOCK_BYTES", size)
    name = f"text:{folder}"
    raw = ks.datasets.read(name)
    whole = "".join(getattr(raw, s).features[0] for s in SPLITS)
    assert whole == "the beginning\nof\0it\n" * 9 + "ende\nund ü€😀\n" * 9
    expected = in_memory(name, 0.2)
    source = streamed(name, 0.2)
    assert (source.kind, source.given_splits) == ("corpus", ("train",))
    states = assert_equal(source, expected)
    assert source.identity() == streamed(f"{name}/part*.txt").identity()
    last = list(source.read({}))[-1]
    assert last.bytes_read == source.num_bytes
    before, parts = {}, [(r.split, len(r.features)) for r in source.read({})]
    for place, (state, (split, count)) in enumerate(zip(states, parts, strict=True)):
        before[split] = before.get(split, 0) + count
        if place % max(1, len(states) // 5) == 0 or place == len(states) - 1:
            assert_equal(source, expected, state, before)


@hypothesis.given(st.text(min_size=100, max_size=150), st.integers(9, 60))
@hypothesis.settings(max_examples=10, deadline=None)
def test_any_text(tmp_path_factory, content, size):
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes(content.encode())
    # As Python reads it, which makes all ends of lines one.
    content = path.read_text(encoding="utf-8")
    hypothesis.assume(len(content) >= 100)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_blocks, "BLOCK_BYTES", size)
        raw = ks.datasets.read(f"text:{path}", held_out_fraction=0.1)
        assert "".join(getattr(raw, s).features[0] for s in SPLITS) == content
        assert_equal(streamed(f"text:{path}", 0.1), in_memory(f"text:{path}", 0.1))


def test_ids_of_characters_are_those_of_the_layer():
    content = "ab\0\ufffd\u0130ß😀\n" * 5 + "z"
    vectorizer = text.character_vectorizer(content)
    other = content + "unseen: xyz"
    ids = text.encode(vectorizer, np.array([other], dtype=object))[0]
    np.testing.assert_array_equal(text.tokens_of(vectorizer, other), ids)
    many = [chr(code) for code in range(0x4E00, 0x4E00 + 2**16)]
    assert characters.CharacterIds(many[: 2**16 - 2]).dtype == np.uint16
    assert characters.CharacterIds(many).dtype == np.uint32
    assert characters.CharacterIds(many).of(many[-1]).tolist() == [2**16 + 1]


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"short", r"at least 100 characters. Received: .*, which has 5\."),
        (b"a" * 200 + b"\xff" + b"b" * 200, "in which byte 200 is not. Convert it"),
        (b"a" * 200 + "ü".encode()[:1], "in which byte 200 is not. Convert it"),
        (b"a" * 200 + b"\xc3a" + b"b" * 200, "in which byte 200 is not. Convert it"),
    ],
)
def test_what_is_no_text(tmp_path, monkeypatch, content, match):
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    for size in (7, 2**20):
        monkeypatch.setattr(text_blocks, "BLOCK_BYTES", size)
        with pytest.raises(RefusedError, match=match):
            ks.datasets.read(f"text:{path}")
        with pytest.raises(RefusedError, match=match):
            list(streamed(f"text:{path}").read({}))
    with pytest.raises(RefusedError, match="does not exist"):
        ks.datasets.read(f"text:{tmp_path}/none.txt")
    path.unlink()
    with pytest.raises(RefusedError, match=r"a folder without any \(.txt, .text, .md"):
        streamed(f"text:{tmp_path}")


@pytest.mark.parametrize("name", ["text", "python_reference"])
def test_a_packed_text(folder, tmp_path, name):
    name = f"text:{folder}" if name == "text" else name
    made = packing.pack(streamed(name), tmp_path / "packed", validation_fraction=0.05)
    ids, vocabulary = in_memory(name)
    assert list(made.vocabulary) == vocabulary
    assert (made.dtype, made.shape) == ("uint16", ())
    assert made.counts == {split: len(ids[split]) for split in SPLITS}
    tokens = np.fromfile(tmp_path / "packed" / layout.FEATURES, "<u2")
    for split, (begin, end) in made.ranges.items():
        np.testing.assert_array_equal(tokens[begin:end], ids[split])


def test_memory_does_not_grow_with_the_text(tmp_path):
    line = "".join(map(chr, range(32, 122))) + "\n"
    path = tmp_path / "text.txt"
    path.write_text(line * 200_000)
    tracemalloc.start()
    try:
        for part in streamed(f"text:{path}").read({}):
            json.dumps(dict(part.state))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The table of all code points takes 9 MB, and is summed up.
    assert peak < 60e6
