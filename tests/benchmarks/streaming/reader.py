"""What all runners of pictures have in common: batches are read, and counted."""

import importlib.metadata
from collections.abc import Callable, Iterable
from typing import Any

SIDE, BATCH = 160, 64
# Of the area, at least, that a random window has.
SMALLEST_AREA = 0.08
# For those whose workers are processes or whose loaders take a number of threads.
WORKERS = 2


class Reader:
    """A pipeline without an end, of which batches are taken; see `protocol.serve`.

    Args:
        make: Gives batches (pictures, labels), for ever.
        packages: Whose versions are told.
    """

    def __init__(
        self, make: Callable[[], Iterable[Any]], packages: tuple[str, ...]
    ) -> None:
        self._make = make
        self._packages = packages

    def load(self) -> dict[str, Any]:
        """Opens it, and looks at the first batch."""
        self._batches = iter(self._make())
        images, labels = next(self._batches)
        shape = (BATCH, SIDE, SIDE, 3)
        found = tuple(images.shape), str(images.dtype).rpartition(".")[2]
        dtype = found[1].removeprefix("<dtype: '").removesuffix("'>")
        if found[0] != shape or dtype != "uint8" or len(labels) != BATCH:
            raise ValueError(f"expected uint8 pictures of {shape}. Received: {found}.")
        mean = float(images[:8].numpy().mean() if hasattr(images, "numpy") else
                     images[:8].mean())  # fmt: skip
        if not 90 < mean < 166:
            raise ValueError(f"pictures: expected a mean near 128. Received: {mean}.")
        versions = {name: importlib.metadata.version(name) for name in self._packages}
        return {"versions": versions}

    def run(self, epochs: int) -> dict[str, Any]:
        """Takes so many batches."""
        for _ in range(epochs):
            next(self._batches)
        return {}
