"""Attributions as pictures: red speaks for the answer, blue against it."""

import base64
import io

import numpy as np
import PIL.Image

from kerascale.trust.explanation.parts import Parts

_FOR, _AGAINST, _NOTHING = (178, 24, 43), (33, 102, 172), (247, 247, 247)
_SIDE = 192


def picture(values: np.ndarray, parts: Parts) -> str:
    """The attributions of a picture's pixels, as a `data:` URL.

    Args:
        values: Of shape (parts,). The largest size is shown in full colour.
        parts: Which pixel is which.
    """
    of_pixels = values[parts.number_of]
    # One pixel alone must not make all others pale.
    size = np.quantile(np.abs(of_pixels), 0.995) or np.abs(of_pixels).max() or 1.0
    share = np.clip(of_pixels / size, -1, 1)[..., None]
    colour = np.where(share > 0, np.array(_FOR, float), np.array(_AGAINST, float))
    mixed = np.array(_NOTHING, float) + np.abs(share) * (colour - _NOTHING)
    image = PIL.Image.fromarray(mixed.round().astype(np.uint8))
    image.thumbnail((_SIDE, _SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def tint(value: float, size: float) -> str:
    """The colour behind a word, as CSS, light enough to read on in both themes."""
    if not size:
        return "transparent"
    share = min(1.0, abs(value) / size)
    red, green, blue = _FOR if value > 0 else _AGAINST
    return f"rgba({red},{green},{blue},{0.55 * share:.2f})"
