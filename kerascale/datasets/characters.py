"""Characters of a text as token ids, without TensorFlow: for texts of any size.

The ids are those of `kerascale.datasets.text.character_vectorizer`. A character is a
Unicode code point, as in `str`; NUL, which Keras cannot keep, counts as U+FFFD.
"""

from collections.abc import Sequence

import numpy as np

# Ids 0 and 1 of Keras' TextVectorization: padding, and unknown tokens.
NUM_SPECIAL_TOKENS = 2
UNKNOWN = 1
_CODE_POINTS = 0x110000
_REPLACEMENT = 0xFFFD
# Characters that are looked at together.
_PART = 2**20


def counts_of(text: str) -> np.ndarray:
    """How often each code point occurs, int64 of shape (1114112,)."""
    counts = np.zeros(_CODE_POINTS, np.int64)
    for start in range(0, len(text), _PART):
        found = np.bincount(_code_points(text[start : start + _PART]))
        counts[: len(found)] += found
    counts[_REPLACEMENT] += counts[0]
    counts[0] = 0
    return counts


def vocabulary_of(counts: np.ndarray) -> list[str]:
    """The characters that occur, the most frequent first; of two the smaller.

    Args:
        counts: From `counts_of`.
    """
    found = np.flatnonzero(counts)
    order = np.argsort(-counts[found], kind="stable")
    return [chr(code) for code in found[order].tolist()]


class CharacterIds:
    """The ids of characters.

    Args:
        vocabulary: The characters, in the order of their ids, which begin behind
            padding and unknown ones.
    """

    def __init__(self, vocabulary: Sequence[str]) -> None:
        size = len(vocabulary) + NUM_SPECIAL_TOKENS
        self.dtype = np.dtype(np.uint16 if size <= 2**16 else np.uint32)
        self._ids = np.full(_CODE_POINTS, UNKNOWN, self.dtype)
        codes = [ord(character) for character in vocabulary]
        self._ids[codes] = np.arange(NUM_SPECIAL_TOKENS, size, dtype=self.dtype)
        self._ids[0] = self._ids[_REPLACEMENT]

    def of(self, text: str) -> np.ndarray:
        """The id of each character, uint16 or uint32 of shape (characters,)."""
        ids = np.empty(len(text), self.dtype)
        for start in range(0, len(text), _PART):
            part = _code_points(text[start : start + _PART])
            ids[start : start + len(part)] = self._ids[part]
        return ids

    def certain_end(self, text: str) -> int:
        """How much of a text has ids that nothing behind it can change: all."""
        return len(text)


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
