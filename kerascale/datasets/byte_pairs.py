"""Byte-pair encoding of texts of any size, by the library `tokenizers`.

A text is cut into words by fixed ranges of characters, without Unicode's tables, so
that TensorFlow's operations cut it in the same way (see `byte_pair_layer`); their bytes
are joined pair by pair, so that no text has an unknown token.
"""

import functools
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from kerascale.datasets.characters import NUM_SPECIAL_TOKENS
from kerascale.errors import RefusedError
from kerascale.runtime.console import say

# A blank before it belongs to a word: letters, and all that is not ASCII; up to three
# digits; punctuation. White space and control characters are apart. Each is short, so
# that where it ends depends on a few characters only.
WORD = (
    r" ?[^\x00-\x40\x5b-\x60\x7b-\x7f]{1,32}"
    r"| ?[0-9]{1,3}"
    r"| ?[\x21-\x2f\x3a-\x40\x5b-\x60\x7b-\x7e]{1,32}"
    r"|[\x00-\x20\x7f]{1,32}"
)
_LONGEST_WORD = 33
FEWEST_IDS = NUM_SPECIAL_TOKENS + 256 + 1
# Of a longer training text, pieces that are spread over it.
_SAMPLE = 2**27
_PIECE = 2**20
# What the library is given at once: it works on several of them beside each other.
_BATCH, _PIECES = 2**14, 256
# A blank or a line feed behind something else: a word ends there, whatever is before.
_CERTAIN_END = re.compile(r"[^\x00-\x20\x7f](?=[ \n])")


def train(pieces: Iterable[str], vocabulary_size: int) -> str:
    """Learns which pairs to join.

    Args:
        pieces: Of the training text; see `sample`.
        vocabulary_size: Largest number of ids, padding and unknown included, which are
            never used.

    Returns:
        A tokenizer as the library writes it into `tokenizer.json`. Its ids are
        smaller by `NUM_SPECIAL_TOKENS`.

    Raises:
        RefusedError: If `vocabulary_size` has no room for a pair, or the library is
            missing.
    """
    if vocabulary_size < FEWEST_IDS:
        raise RefusedError(
            f"vocabulary_size: expected at least {FEWEST_IDS}: padding, unknown, 256 "
            f"bytes, and one pair. Received: {vocabulary_size}. Raise it."
        )
    library = _library()
    own = library.Tokenizer(library.models.BPE())
    own.normalizer = library.normalizers.Replace("\0", "\ufffd")
    split = library.pre_tokenizers.Split(library.Regex(WORD), behavior="isolated")
    byte_level = library.pre_tokenizers.ByteLevel
    own.pre_tokenizer = library.pre_tokenizers.Sequence(
        [split, byte_level(add_prefix_space=False, use_regex=False)]
    )
    own.decoder = library.decoders.ByteLevel()
    trainer = library.trainers.BpeTrainer(
        vocab_size=vocabulary_size - NUM_SPECIAL_TOKENS,
        initial_alphabet=byte_level.alphabet(),
        show_progress=False,
    )
    own.train_from_iterator(pieces, trainer)
    return own.to_str()


def learned(pieces: Iterable[str], count: int, vocabulary_size: int) -> dict[str, str]:
    """A vocabulary as packed data sets have it; what it is learned from is said.

    Args:
        pieces: From `sample`.
        count: Characters of the training text.
        vocabulary_size: As in `train`.
    """
    step = _stride(count)
    if step > 1:
        say(
            f"byte pairs: learned from 1 of {step} pieces of the training text, "
            f"{count // step:,} of {count:,} characters"
        )
    return {"bpe": train(pieces, vocabulary_size)}


def _stride(count: int) -> int:
    return max(1, -(-count // _SAMPLE))


def sample(texts: Iterable[str], count: int) -> Iterator[str]:
    """Pieces of a text to learn from: all, or some that are spread over it.

    Args:
        texts: The text in parts of any size.
        count: Characters of it.
    """
    step, number, rest = _stride(count), 0, ""
    for text in texts:
        rest += text
        start = 0
        while len(rest) - start >= _PIECE:
            if number % step == 0:
                yield rest[start : start + _PIECE]
            number, start = number + 1, start + _PIECE
        rest = rest[start:]
    if rest and number % step == 0:
        yield rest


class BytePairs:
    """A tokenizer that was trained.

    Args:
        tokenizer: From `train`.
    """

    def __init__(self, tokenizer: str) -> None:
        self.tokenizer = tokenizer
        model = json.loads(tokenizer)["model"]
        size = len(model["vocab"])
        # Each byte as a character that can be printed.
        self.tokens: list[str] = sorted(model["vocab"], key=model["vocab"].get)
        self.pairs = [
            (model["vocab"][a], model["vocab"][b]) for a, b in model["merges"]
        ]
        self.joined = [model["vocab"][a + b] for a, b in model["merges"]]
        wide = size + NUM_SPECIAL_TOKENS > 2**16
        self.dtype = np.dtype(np.uint32 if wide else np.uint16)

    @functools.cached_property
    def _own(self) -> Any:
        return _library().Tokenizer.from_str(self.tokenizer)

    def of(self, text: str) -> np.ndarray:
        """The ids of a text, uint16 or uint32 of shape (tokens,).

        Raises:
            RefusedError: If the library is missing.
        """
        found, start = [np.zeros(0, self.dtype)], 0
        while start < len(text):
            pieces = []
            for _ in range(_PIECES):
                piece = text[start : start + _BATCH]
                if start + len(piece) < len(text):
                    piece = piece[: certain_end(piece) or _end_of_word(text, start)]
                pieces.append(piece)
                start += len(piece)
                if start >= len(text):
                    break
            for encoded in self._own.encode_batch_fast(pieces):
                ids = np.array(encoded.ids, dtype=self.dtype)
                found.append(ids + self.dtype.type(NUM_SPECIAL_TOKENS))
        return np.concatenate(found)

    def certain_end(self, text: str) -> int:
        """How much of a text has ids that nothing behind it can change."""
        return certain_end(text)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some ids; U+FFFD for what is no whole character."""
        bytes_of = byte_of_sign()
        tokens = (self.tokens[i - NUM_SPECIAL_TOKENS] for i in ids if i > 1)
        data = bytes(bytes_of[sign] for token in tokens for sign in token)
        return data.decode("utf-8", errors="replace")


def certain_end(text: str) -> int:
    """The last place at which a word ends, whatever comes next and was before; or 0."""
    for size in (2**10, len(text)):
        end = 0
        for match in _CERTAIN_END.finditer(text, max(0, len(text) - size)):
            end = match.end()
        if end:
            return end
    return 0


def _end_of_word(text: str, start: int) -> int:
    """How far a word ends behind `start`, where nothing tells but words before it."""
    part = text[start : start + _BATCH + 2 * _LONGEST_WORD]
    if start + len(part) >= len(text):
        return len(part)
    ends = (match.end() for match in re.finditer(WORD, part))
    return max(end for end in ends if end <= len(part) - _LONGEST_WORD)


@functools.cache
def byte_of_sign() -> dict[str, int]:
    """What stands for each byte in a token: itself where it can be printed."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in shown]
    signs = {chr(byte): byte for byte in shown}
    return signs | {chr(256 + place): byte for place, byte in enumerate(hidden)}


def _library() -> Any:
    # It would warn in each process that is forked later on.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    try:
        import tokenizers
    except ImportError as error:
        raise RefusedError(
            "tokenizer: expected the library tokenizers, which learns byte pairs. "
            f"Received: {error}. Install it: pip install 'kerascale[bpe]'"
        ) from error
    return tokenizers
