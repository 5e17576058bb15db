"""`text:PATH`: plain text files, to train a language model on."""

import dataclasses
import functools
import math
import os
from collections.abc import Iterator

import numpy as np

from kerascale.datasets.raw import RawData, Split
from kerascale.datasets.sources import table_files, text_blocks
from kerascale.datasets.sources.text_blocks import TextBlock
from kerascale.errors import RefusedError

SUFFIXES = (".txt", ".text", ".md")
_FEWEST = 100
_NO_LABELS = np.zeros(0, dtype=np.int64)


@dataclasses.dataclass(frozen=True)
class TextFiles:
    """Texts that are one, the one behind the other as they are.

    Args:
        path: What the user called them.
        files: The files, in order.
    """

    path: str
    files: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"text:{self.path}"

    @functools.cached_property
    def sizes(self) -> tuple[int, ...]:
        """Of the files, in bytes."""
        return tuple(os.path.getsize(file) for file in self.files)

    @property
    def num_bytes(self) -> int:
        return sum(self.sizes)

    def blocks(self, file: int = 0, start: int = 0) -> Iterator[TextBlock]:
        """The characters, from an end of a block on."""
        return text_blocks.blocks(self.files, file, start)

    def boundaries(self, count: int, held_out_fraction: float) -> tuple[int, int]:
        """Where the validation text begins, and the test text that stands behind it.

        Args:
            count: Characters of all files.
            held_out_fraction: Share of them for each of the two.

        Raises:
            RefusedError: If there are too few.
        """
        if count < _FEWEST:
            raise RefusedError(
                f"text: expected at least {_FEWEST} characters. Received: {self.path}, "
                f"which has {count}."
            )
        # Rounded, so that 95 % of 100 characters are 95 of them.
        second = math.floor(round(count * (1 - held_out_fraction), 6))
        first = math.floor(round(count * (1 - 2 * held_out_fraction), 6))
        if not 0 < first < second < count:
            raise RefusedError(
                f"text: expected enough characters to hold back {held_out_fraction:g} "
                f"of them twice. Received: {self.path}, which has {count}. Add text, "
                "or change validation_fraction."
            )
        return first, second


def open_text(path: str | os.PathLike[str]) -> TextFiles:
    """Finds text files.

    Args:
        path: A file, a folder of files, or a pattern.

    Raises:
        RefusedError: If there is none.
    """
    path = os.fspath(path)
    files = table_files.find(path, SUFFIXES, "a text file")
    return TextFiles(path, tuple(files))


def load_text(path: str | os.PathLike[str], held_out_fraction: float = 0.05) -> RawData:
    """Reads UTF-8 text files: their beginning to train on, their end is held back.

    Args:
        path: A file; a folder of files; or a pattern, such as `books/*.txt`. They are
            joined as they are, in the order of their names.
        held_out_fraction: Share of the characters for validation, and again for the
            test that stands behind it; between 0 and 0.5.

    Returns:
        Data of kind `corpus`.

    Raises:
        RefusedError: If a file cannot be read, is not UTF-8, or all are nearly empty.
    """
    files = open_text(path)
    content = "".join(block.text for block in files.blocks())
    first, second = files.boundaries(len(content), held_out_fraction)
    return RawData(
        name=files.name,
        kind="corpus",
        class_names=(),
        train=_corpus(content[:first]),
        validation=_corpus(content[first:second]),
        test=_corpus(content[second:]),
    )


def _corpus(content: str) -> Split:
    return Split(np.array([content], dtype=object), _NO_LABELS)
