"""`text:PATH`: a plain text file, to train a language model on."""

import pathlib

import numpy as np

from kerascale.datasets.raw import RawData, Split
from kerascale.errors import RefusedError

_NO_LABELS = np.zeros(0, dtype=np.int64)


def load_text(path: pathlib.Path) -> RawData:
    """Reads a UTF-8 text file: its first 90 % to train on, then 5 % and 5 %.

    Args:
        path: The file.

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
    first, second = len(content) * 90 // 100, len(content) * 95 // 100
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
