"""`text:PATH`: a plain text file, to train a language model on."""

import math
import pathlib

import numpy as np

from kerascale.datasets.raw import RawData, Split
from kerascale.errors import RefusedError

_NO_LABELS = np.zeros(0, dtype=np.int64)


def load_text(path: pathlib.Path, held_out_fraction: float = 0.05) -> RawData:
    """Reads a UTF-8 text file: its beginning to train on, its end is held back.

    Args:
        path: The file.
        held_out_fraction: Share of the characters for validation, and again for the
            test that stands behind it; between 0 and 0.5.

    Returns:
        Data of kind `corpus`.

    Raises:
        RefusedError: If the file cannot be read, is not UTF-8, or is nearly empty.
    """
    try:
        content = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RefusedError(
            f"text: expected UTF-8 text. Received: {path}, in which byte "
            f"{error.start} is not. Convert it: iconv -t UTF-8"
        ) from error
    except OSError as error:
        raise RefusedError(
            f"text: expected a readable file. Received: {path} ({error.strerror})."
        ) from error
    if len(content) < 100:
        raise RefusedError(
            f"text: expected at least 100 characters. Received: {path}, which has "
            f"{len(content)}."
        )
    # Rounded, so that 95 % of 100 characters are 95 of them.
    second = math.floor(round(len(content) * (1 - held_out_fraction), 6))
    first = math.floor(round(len(content) * (1 - 2 * held_out_fraction), 6))
    if not 0 < first < second < len(content):
        raise RefusedError(
            f"text: expected enough characters to hold back {held_out_fraction:g} of "
            f"them twice. Received: {path}, which has {len(content)}. Add text, or "
            "change validation_fraction."
        )
    return RawData(
        name=f"text:{path}",
        kind="corpus",
        class_names=(),
        train=_corpus(content[:first]),
        validation=_corpus(content[first:second]),
        test=_corpus(content[second:]),
    )


def _corpus(content: str) -> Split:
    return Split(np.array([content], dtype=object), _NO_LABELS)
