"""`text:PATH`: text files of any size, as token ids.

Read three times: characters are counted to know where the validation text begins; those
of the training text, to know the vocabulary; and they are written as ids. Nothing grows
with the text but the list of its distinct characters.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from kerascale.datasets import byte_pairs, characters, info
from kerascale.datasets.packed import layout
from kerascale.datasets.packed.rows import Facts, Rows, RowSource
from kerascale.datasets.packed.sources.stamps import identity_of
from kerascale.datasets.raw import RawData
from kerascale.datasets.sources.text_blocks import TextBlock
from kerascale.datasets.sources.text_file import TextFiles, open_text

if TYPE_CHECKING:
    from kerascale.datasets.packed.sources import SourceOptions

_NO_IDS = np.zeros(0, np.uint16)
_NO_LABELS = np.zeros(0, np.int64)
_PASSES = ("count", "learn", "write")


def open_rows(rest: str, options: "SourceOptions") -> RowSource:
    """The characters of text files; see `text_file.load_text`.

    Raises:
        RefusedError: If there are no files.
    """
    return Text(open_text(rest), options)


class Text:
    """The tokens of text files: training, validation, test.

    Args:
        files: The files.
        options: `validation_fraction`, `tokenizer` and `vocabulary_size` count.
    """

    kind = "corpus"
    encoding = None
    num_rows = None
    # The text is divided by its length; it has no splits of its own.
    given_splits = ("train",)

    def __init__(self, files: TextFiles, options: "SourceOptions") -> None:
        self.name = files.name
        self.num_bytes = len(_PASSES) * files.num_bytes
        self._files = files
        self._fraction = options.validation_fraction
        self._options = options
        self._vocabulary: Any = None

    def identity(self) -> dict[str, Any]:
        return identity_of(self._files.files)

    def read(self, state: Mapping[str, Any]) -> Iterator[Rows]:
        state = {"pass": "count", "done": 0, **state}
        if state["pass"] == "count":
            state = yield from self._count(state)
        if state["pass"] == "learn":
            state = yield from self._learn(state)
        self._vocabulary = state["vocabulary"]
        yield from self._write(state)

    def facts(self) -> Facts:
        return Facts((), vocabulary=self._vocabulary)

    def _count(self, state: dict[str, Any]) -> Iterator[Rows]:
        for block in self._blocks(state):
            done = state["done"] + len(block.text)
            state = {"pass": "count", "done": done, **_behind(block)}
            yield self._nothing(state, block)
        self._files.boundaries(state["done"], self._fraction)
        return {"pass": "learn", "done": 0, "count": state["done"]}

    def _learn(self, state: dict[str, Any]) -> Iterator[Rows]:
        """Finds the vocabulary of the training text."""
        end, _ = self._files.boundaries(state["count"], self._fraction)
        if self._options.tokenizer == "bpe":
            texts = cut_off((block.text for block in self._files.blocks()), end)
            pieces = byte_pairs.sample(texts, end)
            size = self._options.vocabulary_size
            vocabulary: Any = byte_pairs.learned(pieces, end, size)
        else:
            counts = _dense(state.get("counts", {}))
            for block in self._blocks(state):
                if state["done"] >= end:
                    break
                counts += characters.counts_of(block.text[: end - state["done"]])
                done = state["done"] + len(block.text)
                known = {"count": state["count"], "counts": _sparse(counts)}
                state = {"pass": "learn", "done": done, **known, **_behind(block)}
                yield self._nothing(state, block)
            vocabulary = characters.vocabulary_of(counts)
        known = {"count": state["count"], "vocabulary": vocabulary}
        return {"pass": "write", "done": 0, **known}

    def _write(self, state: dict[str, Any]) -> Iterator[Rows]:
        ids = ids_of(state["vocabulary"])
        ends = (*self._files.boundaries(state["count"], self._fraction), state["count"])
        known = {name: state[name] for name in ("count", "vocabulary")}
        done, skip, text = state["done"], state.get("skip", 0), ""
        # Where `text` begins: a block, and characters from there on.
        begin: dict[str, Any] = {}
        for block in self._blocks(state):
            if skip >= len(block.text):
                skip -= len(block.text)
                continue
            if not text:
                begin = {"file": block.file, "start": block.start, "skip": skip}
            text, skip = text + block.text[skip:], 0
            while text:
                split = int(np.searchsorted(ends, done, side="right"))
                left = ends[split] - done
                # A split ends where it does; before that, where a token is sure to.
                cut = left if len(text) >= left else ids.certain_end(text)
                if not cut:
                    break
                tokens, text, done = ids.of(text[:cut]), text[cut:], done + cut
                if len(text) <= len(block.text):
                    behind = len(block.text) - len(text)
                    begin = {"file": block.file, "start": block.start, "skip": behind}
                else:
                    begin = {**begin, "skip": begin["skip"] + cut}
                yield Rows(
                    tokens,
                    _NO_LABELS,
                    ("train", "validation", "test")[split],
                    state={"pass": "write", "done": done, **known, **begin},
                    bytes_read=self._bytes_read("write", block),
                )

    def _blocks(self, state: Mapping[str, Any]) -> Iterator[TextBlock]:
        return self._files.blocks(state.get("file", 0), state.get("start", 0))

    def _nothing(self, state: dict[str, Any], block: TextBlock) -> Rows:
        """No rows, but a state from which reading goes on."""
        read = self._bytes_read(state["pass"], block)
        return Rows(_NO_IDS, _NO_LABELS, state=state, bytes_read=read)

    def _bytes_read(self, name: str, block: TextBlock) -> int:
        before = sum(self._files.sizes[: block.file]) + block.end
        return _PASSES.index(name) * self._files.num_bytes + before


def ids_of(vocabulary: Any) -> byte_pairs.BytePairs | characters.CharacterIds:
    """What makes ids of a text; see `Facts.vocabulary`."""
    if isinstance(vocabulary, Mapping):
        return byte_pairs.BytePairs(vocabulary["bpe"])
    return characters.CharacterIds(vocabulary)


def cut_off(texts: Iterable[str], count: int) -> Iterator[str]:
    """The first characters of texts that are one."""
    for text in texts:
        yield text[:count]
        count -= len(text)
        if count <= 0:
            return


def _behind(block: TextBlock) -> dict[str, int]:
    return {"file": block.file, "start": block.end}


def _sparse(counts: np.ndarray) -> dict[str, int]:
    found = np.flatnonzero(counts)
    keys = map(str, found.tolist())
    return dict(zip(keys, counts[found].tolist(), strict=True))


def _dense(counts: Mapping[str, int]) -> np.ndarray:
    dense = characters.counts_of("")
    dense[[int(code) for code in counts]] = list(counts.values())
    return dense


class TextInMemory:
    """The tokens of a text whose splits are in memory.

    Args:
        raw: The data, of kind `corpus`.
        options: `tokenizer` and `vocabulary_size` count.
    """

    kind = "corpus"
    encoding = None
    num_rows = None
    num_bytes = None

    def __init__(self, raw: RawData, options: "SourceOptions") -> None:
        self.name = raw.name
        self._raw = raw
        named = {name: getattr(raw, name) for name in layout.SPLITS}
        self._texts = {k: str(v.features[0]) for k, v in named.items() if v is not None}
        self.given_splits = tuple(self._texts)
        train = self._texts["train"]
        if options.tokenizer == "bpe":
            pieces = byte_pairs.sample([train], len(train))
            size = options.vocabulary_size
            self._vocabulary: Any = byte_pairs.learned(pieces, len(train), size)
        else:
            counts = characters.counts_of(train)
            self._vocabulary = characters.vocabulary_of(counts)

    def identity(self) -> dict[str, Any]:
        return {"sha256": info.fingerprint(self._raw)}

    def read(self, state: Mapping[str, Any]) -> Iterator[Rows]:
        ids = ids_of(self._vocabulary)
        names = list(self._texts)
        for number in range(state.get("splits", 0), len(names)):
            tokens = ids.of(self._texts[names[number]])
            yield Rows(tokens, _NO_LABELS, names[number], state={"splits": number + 1})

    def facts(self) -> Facts:
        return Facts((), vocabulary=self._vocabulary)
