"""Windows of a packed text: its tokens are mapped, and never in memory as a whole."""

import dataclasses
import functools
from collections.abc import Mapping

import keras
import tensorflow as tf

from kerascale.config import TrainingConfig
from kerascale.datasets import corpora, gathers, pages, text
from kerascale.datasets.bundle import Datasets
from kerascale.datasets.packed import mapped
from kerascale.datasets.packed.opened import Packed
from kerascale.errors import RefusedError


def prepare(packed: Packed, config: TrainingConfig) -> Datasets:
    """Batches of windows, as `loading.prepare` makes them of a text in memory.

    Raises:
        RefusedError: If a split has no window, or was to be of another size.
    """
    held = packed.manifest
    lacks_splits = len(held.given_splits) < len(held.ranges)
    if lacks_splits and config.validation_fraction != held.held_out_fraction:
        raise RefusedError(
            f"validation_fraction: expected {held.held_out_fraction:g}, with which "
            f"{packed.name} was packed: its vocabulary is that of the training text. "
            f"Received: {config.validation_fraction:g}. Pass the one that is there, or "
            "pack the text again."
        )
    _refuse_other_tokens(packed, config)
    vectorizer = vectorizer_of(packed)
    length = getattr(config, "max_length", 64)
    tokens = mapped.tensor(packed.features)
    parts = {
        split: _part(tokens, tuple(part), length) for split, part in held.ranges.items()
    }
    made = corpora.prepare(
        packed.name,
        parts,
        config,
        vectorizer=vectorizer,
        fingerprint=held.fingerprint,
    )
    if not mapped.is_read_singly(packed.features):
        return made
    starts = made.train.gather.starts
    found = pages.of_windows(packed.features, length + 1, starts)
    return dataclasses.replace(made, train=dataclasses.replace(made.train, pages=found))


def whole(packed: Packed, length: int) -> corpora.Part:
    """All tokens, in windows of a length."""
    tokens = mapped.tensor(packed.features)
    return _part(tokens, (0, packed.manifest.num_rows), length)


def _part(tokens: tf.Tensor, part: tuple[int, int], length: int) -> corpora.Part:
    windows = functools.partial(
        gathers.windows_of, tokens, part, length, is_mapped=True
    )
    return corpora.Part(part[1] - part[0], windows)


def vectorizer_of(packed: Packed) -> keras.layers.Layer:
    """The layer from strings to the ids of a packed text."""
    return text.vectorizer_as(packed.manifest.vocabulary)


def _refuse_other_tokens(packed: Packed, config: TrainingConfig) -> None:
    """A text is packed as token ids: a configuration cannot ask for others."""
    held = packed.manifest
    is_bpe = isinstance(held.vocabulary, Mapping)
    problems = []
    if getattr(config, "tokenizer", "characters") == "bpe" and not is_bpe:
        problems.append(
            f"tokenizer: expected characters, as which {packed.name} was packed. "
            "Received: 'bpe'"
        )
    size = getattr(config, "vocabulary_size", None)
    packed_size = held.options.get("vocabulary_size")
    is_default = size == getattr(type(config), "vocabulary_size", None)
    if is_bpe and not is_default and size != packed_size:
        problems.append(
            f"vocabulary_size: expected {packed_size}, with which {packed.name} was "
            f"packed. Received: {size}"
        )
    if problems:
        way_out = "Leave it out, or pack the text again"
        problems = [f"{problem}. {way_out}" for problem in problems]
        raise RefusedError(problems, heading=packed.name)
