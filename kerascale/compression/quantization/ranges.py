"""Ranges that were learned: kept beside a model, and applied to it again."""

import contextlib
import dataclasses
import json
import os
import pathlib
from collections.abc import Collection, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascale.compression.quantization import fake, learning, places
from kerascale.errors import DamagedRunError, RefusedError
from kerascale.runs import layout
from kerascale.runtime import atomic_files

_FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Ranges:
    """The lowest and highest activation of each grid of 256 numbers.

    Args:
        names: Of each grid: a layer's path, and whether of its inputs or its outputs.
        lows: Not positive.
        highs: Not negative; equal to the low one where there is no such grid.
    """

    names: tuple[str, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]

    @classmethod
    def of(cls, names: list[str], values: np.ndarray) -> "Ranges":
        """Of names, and their ranges of shape (names, 2)."""
        return cls(tuple(names), *map(tuple, np.asarray(values, float).T.tolist()))

    @property
    def known(self) -> dict[str, tuple[float, float]]:
        """Name -> (low, high) as the grid has them, of each grid that there is."""
        return {
            name: fake.nudged(low, high)
            for name, low, high in zip(self.names, self.lows, self.highs, strict=True)
            if high > low
        }

    @contextlib.contextmanager
    def applied(self, model: keras.Model) -> Iterator[keras.Model]:
        """Within it a model answers as its integers would.

        Args:
            model: The trained one, or the same from a file.

        Raises:
            RefusedError: If it has other layers.
        """
        with self._following(model, _Fixed(self)):
            yield model

    @contextlib.contextmanager
    def to_convert(
        self, model: keras.Model, apart: Collection[str] = ()
    ) -> Iterator[keras.Model]:
        """Within it a model is in the form that converters find integer kernels in.

        Args:
            model: The trained one.
            apart: Names of activations that are clipped to their ranges, in floats, as
                integers are: a converter does not join what is on both sides then.
        """
        with self._following(model, _Clipping(self, apart)):
            yield model

    def seen(
        self, model: keras.Model, x: Any, apart: Collection[str] = ()
    ) -> dict[str, np.ndarray]:
        """Name -> what stands there, in floats, for a batch of inputs.

        Args:
            model: The trained one.
            x: The inputs.
            apart: Names of those that are clipped: see `to_convert`.
        """
        recording = _Clipping(self, apart)
        with self._following(model, recording):
            model(x, training=False)
        return {
            name: recording.found[number]
            for number, name in enumerate(self.names)
            if number in recording.found
        }

    @contextlib.contextmanager
    def _following(self, model: keras.Model, scheme: Any) -> Iterator[None]:
        found = places.find(model)
        if found.names != list(self.names):
            raise RefusedError(
                "ranges: expected the model that they were learned with. Received: "
                f"{model.name}, whose layers are others."
            )
        found.attach(scheme)
        learning.forget_answers(model)
        try:
            yield
        finally:
            found.detach()
            learning.forget_answers(model)


class _Fixed:
    """See `layers.Scheme`: ranges do not change any more."""

    in_rows = False

    def __init__(self, ranges: Ranges) -> None:
        self._ranges = ranges

    def activations(self, x: tf.Tensor, number: int) -> tf.Tensor:
        ranges = self._ranges
        return fake.activations(x, ranges.lows[number], ranges.highs[number])

    def weights(self, kernel: tf.Tensor, factor: Any = None) -> tf.Tensor:
        return fake.folded(kernel, factor)

    def statistics(self, batch: Any, still: Any) -> Any:
        return still


class _Clipping:
    """See `layers.Scheme`: clips some, changes nothing else, and keeps what it sees."""

    in_rows = True

    def __init__(self, ranges: Ranges, names: Collection[str]) -> None:
        self._ranges = ranges
        self._names = frozenset(names)
        self.found: dict[int, np.ndarray] = {}

    def activations(self, x: tf.Tensor, number: int) -> tf.Tensor:
        if tf.executing_eagerly():
            self.found.setdefault(number, np.asarray(x, np.float32))
        name = self._ranges.names[number]
        if name not in self._names:
            return x
        return tf.clip_by_value(x, *self._ranges.known[name])

    def weights(self, kernel: tf.Tensor, factor: Any = None) -> tf.Tensor:
        return kernel

    def statistics(self, batch: Any, still: Any) -> Any:
        return still


def write(folder: str | os.PathLike, ranges: Ranges) -> None:
    """Writes them into a run's folder."""
    content = {"format": _FORMAT, "kind": "int8", **dataclasses.asdict(ranges)}
    path = pathlib.Path(folder) / layout.RANGES
    with atomic_files.replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read(folder: str | os.PathLike) -> Ranges | None:
    """Those of a run; None: it was trained without.

    Raises:
        DamagedRunError: If the file is not whole.
    """
    path = pathlib.Path(folder) / layout.RANGES
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        members = [tuple(content[f.name]) for f in dataclasses.fields(Ranges)]
        ranges = Ranges(*members)
        is_whole = len({len(member) for member in members}) == 1
    except (OSError, ValueError, KeyError, TypeError):
        is_whole = False
    if not is_whole:
        raise DamagedRunError(
            f"{path}: expected the ranges that training has learned. Received: a file "
            "that is not whole. Bring it back, or train again."
        )
    return ranges
