"""What many pictures have in common: channels, size; without decoding them."""

import itertools
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from kerascale.datasets.packed.sources.ahead import in_order
from kerascale.datasets.sources.image_channels import NAMES, common_channels
from kerascale.datasets.sources.image_headers import channels_of
from kerascale.runtime.console import counted, say

_FILES = 32


class Pictures:
    """Counts kinds and sizes of pictures.

    Args:
        known: What `to_json` gave before.
    """

    def __init__(self, known: Mapping[str, Any] | None = None) -> None:
        known = known or {}
        self._kinds = Counter({int(k): n for k, n in known.get("kinds", {}).items()})
        # None: none yet. 0: they differ.
        self._height: int | None = known.get("height")
        self._width: int | None = known.get("width")

    def add(self, shape: tuple[int, ...]) -> None:
        """Counts one of a shape (height, width, channels)."""
        height, width, channels = shape
        self._kinds[channels] += 1
        self._height = height if self._height in (None, height) else 0
        self._width = width if self._width in (None, width) else 0

    def to_json(self) -> dict[str, Any]:
        kinds = {str(kind): count for kind, count in self._kinds.items()}
        return {"kinds": kinds, "height": self._height, "width": self._width}

    def channels(self) -> int | None:
        """Those of one that was counted; None: none was."""
        return next(iter(self._kinds), None)

    def common_channels(self) -> int:
        """Those that all are converted to."""
        return common_channels(self._kinds or {3})

    def shape(self) -> tuple[int | None, int | None, int]:
        """(height, width, channels); None where they differ."""
        return self._height or None, self._width or None, self.common_channels()

    def say_converted(self, directory: str) -> None:
        """Says which are converted to the channels of the others, if any are."""
        channels = self.common_channels()
        others = {k: n for k, n in self._kinds.items() if k != channels}
        if others:
            kinds = ", ".join(f"{n:,} {NAMES[k]}" for k, n in sorted(others.items()))
            say(
                f"{directory}: of {counted(self._kinds.total(), 'image')} to be "
                f"converted to {NAMES[channels]}: {kinds}"
            )


def kinds_of(files: Iterable[str], jobs: int | None) -> Pictures:
    """The kinds of image files, by their headers; their sizes are not counted.

    Those that are damaged are left out.
    """
    pictures = Pictures()
    names = iter(files)
    groups = iter(lambda: list(itertools.islice(names, _FILES)), [])
    sized = ((0, group) for group in groups)
    for found in in_order(lambda group: list(map(channels_of, group)), sized, jobs):
        pictures._kinds.update(kind for kind in found if kind is not None)
    return pictures


def read_file(path: str) -> tuple[bytes, str]:
    """What is in a file; or what is wrong, empty if nothing is."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            # One byte more, to see the end with one call less.
            size = os.fstat(descriptor).st_size
            parts = [os.read(descriptor, size + 1)]
            while len(parts[-1]) and sum(map(len, parts)) < size:
                parts.append(os.read(descriptor, size + 1))
            return (parts[0] if len(parts) == 1 else b"".join(parts)), ""
        finally:
            os.close(descriptor)
    except OSError as error:
        return b"", f"{path}: cannot be read ({error.strerror})."
