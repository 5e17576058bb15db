"""Examples as a person can look at them: pictures, words, named numbers."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import PIL.Image

from kerascale.datasets import text

# Pictures beyond this size are shown smaller.
_LARGEST_SIDE = 192
_MOST_FEATURES = 6
# Characters of a text.
_LONGEST_TEXT = 2000


def as_picture(pixels: np.ndarray, lowest: float, highest: float) -> str:
    """An image as a `data:` URL.

    Args:
        pixels: Of shape (height, width, 1 or 3).
        lowest: What is shown as black.
        highest: What is shown as white.
    """
    scale = 255 / (highest - lowest) if highest > lowest else 0
    values = (np.asarray(pixels, np.float64) - lowest) * scale
    values = np.nan_to_num(values).clip(0, 255).round().astype(np.uint8)
    image = PIL.Image.fromarray(values[..., 0] if values.shape[-1] == 1 else values)
    image.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def is_picture(shape: Sequence[int | None]) -> bool:
    """Whether examples of a shape can be shown as pictures."""
    return len(shape) == 3 and shape[-1] in (1, 3)


def as_words(ids: np.ndarray, vocabulary: Sequence[str]) -> str:
    """A text as the model saw it: its words in lower case, unknown ones as [UNK]."""
    return " ".join(vocabulary[i] for i in ids if i >= 1)


def as_written(written: str) -> str:
    """A text as it is in the data, cut to a length that can be looked at."""
    more = len(written) - _LONGEST_TEXT
    if more <= 0:
        return written
    return f"{written[:_LONGEST_TEXT]}… and {more:,} more characters"


def as_characters(ids: np.ndarray, vocabulary: Sequence[str]) -> list[str]:
    """The characters of a text; an unknown one is U+FFFD."""
    return [
        vocabulary[i] if i >= text.NUM_SPECIAL_TOKENS else "\ufffd"
        for i in ids.tolist()
    ]


def as_features(values: np.ndarray, names: Sequence[str], mean: Any, std: Any) -> str:
    """The features of an example that are farthest from the mean of the training."""
    values = np.asarray(values, np.float64).reshape(-1)
    names = names or [f"x{i}" for i in range(len(values))]
    distance = np.abs(values)
    if mean is not None:
        spread = np.where(np.asarray(std) > 0, std, 1)
        distance = np.abs((values - mean) / spread)
    # A stable order: the same page each time.
    farthest = np.argsort(-np.nan_to_num(distance), kind="stable")[:_MOST_FEATURES]
    shown = ", ".join(f"{names[i]} = {values[i]:.4g}" for i in farthest)
    more = len(values) - len(farthest)
    return f"{shown}, and {more} nearer to the mean" if more > 0 else shown
