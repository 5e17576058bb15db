"""Packed texts as token ids: encoded once into files of the cache, and mapped."""

import functools
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from kerascale.config import TrainingConfig
from kerascale.datasets import cache, text
from kerascale.datasets.packed import mapped
from kerascale.datasets.packed.opened import Packed
from kerascale.datasets.packed.records import Records
from kerascale.runtime.console import say

_VOCABULARY = "vocabulary.json"
_IDS = "{split}.ids"
# Texts that are in memory at once.
_PART = 8192
# From then on it takes a while, and is said.
_MANY = 1_000_000


class EncodedTexts:
    """The texts of a packed data set as ids, as `loading.prepare` makes them.

    Args:
        packed: Of texts.
        rows: Split -> the rows of its texts.
        config: Has the `vocabulary_size` and the `max_length`.

    Raises:
        RefusedError: If there are no words, or the cache folder cannot be written.
    """

    def __init__(
        self, packed: Packed, rows: dict[str, np.ndarray], config: TrainingConfig
    ) -> None:
        self._packed = packed
        self._rows = rows
        self._size = getattr(config, "vocabulary_size", 10_000)
        self._length = getattr(config, "max_length", 256)
        key = [packed.manifest.fingerprint, self._size, self._length]
        if rows["train"] is not packed.index["train"]:
            key.append(config.validation_fraction)
        folder = cache.prepare_once(cache.name_of("packed-texts", key), self._make)
        made = json.loads((folder / _VOCABULARY).read_text(encoding="utf-8"))
        self.vectorizer = text.words_as(made["words"], max_length=self._length)
        self._folder, self._made = folder, made

    def ids(self, split: str) -> np.ndarray:
        """Of a split, of shape (texts, longest of the split); mapped."""
        shape = (len(self._rows[split]), self._made["longest"][split])
        path = self._folder / _IDS.format(split=split)
        return mapped.array(path, self._made["dtype"], shape)

    @functools.cached_property
    def _records(self) -> Records:
        return Records(self._packed.folder, self._packed.manifest.shards)

    def _make(self, folder: pathlib.Path) -> None:
        total = sum(map(len, self._rows.values()))
        if total > _MANY:
            say(f"data: encoding the {total:,} texts of {self._packed.name}, once")
        vectorizer = text.word_vectorizer_of(
            self._texts("train"),
            vocabulary_size=self._size,
            max_length=self._length,
        )
        words = vectorizer.get_vocabulary()[text.NUM_SPECIAL_TOKENS :]
        dtype = "uint16" if vectorizer.vocabulary_size() <= 2**16 else "int32"
        longest = {
            split: self._encode(folder, split, vectorizer, dtype)
            for split in self._rows
        }
        made: dict[str, Any] = {"words": words, "dtype": dtype, "longest": longest}
        (folder / _VOCABULARY).write_text(json.dumps(made), encoding="utf-8")

    def _encode(
        self,
        folder: pathlib.Path,
        split: str,
        vectorizer: keras.layers.Layer,
        dtype: str,
    ) -> int:
        """Writes the ids of a split; how many its longest text has."""
        path = folder / _IDS.format(split=split)
        wide = path.with_suffix(".wide")
        longest = 1
        with open(wide, "wb") as file:
            for texts in self._texts(split):
                ids = text.encode(vectorizer, texts)
                longest = max(longest, ids.shape[1])
                row = np.zeros((len(ids), self._length), dtype)
                row[:, : ids.shape[1]] = ids
                row.tofile(file)
        if longest == self._length:
            wide.rename(path)
            return longest
        # As in memory, where a batch is as wide as the longest text of the split.
        with open(wide, "rb") as file, open(path, "wb") as narrow:
            for _ in range(0, len(self._rows[split]), _PART):
                part = np.fromfile(file, dtype, _PART * self._length)
                part = part.reshape(-1, self._length)[:, :longest]
                np.ascontiguousarray(part).tofile(narrow)
        wide.unlink()
        return longest

    def _texts(self, split: str) -> Iterator[np.ndarray]:
        rows = self._rows[split]
        for start in range(0, len(rows), _PART):
            yield texts_of(self._records, rows[start : start + _PART])


def texts_of(records: Records, rows: np.ndarray) -> np.ndarray:
    """The texts of some rows; an object array of `str`."""
    found = np.empty(len(rows), dtype=object)
    found[:] = [record.decode() for record in records.read(np.asarray(rows))]
    return found
