"""Windows of a packed text: its tokens are mapped, and never in memory as a whole."""

import functools
from collections.abc import Mapping

import keras
import tensorflow as tf

from kerascale.config import TrainingConfig
from kerascale.datasets import gathers, order, pipeline, text
from kerascale.datasets.bundle import Datasets
from kerascale.datasets.info import DataInfo
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
    is_bpe = isinstance(held.vocabulary, Mapping)
    if getattr(config, "tokenizer", "characters") == "bpe" and not is_bpe:
        raise RefusedError(
            f"tokenizer: expected characters, of which {packed.name} was packed. "
            "Received: bpe. Leave it out, or pack the text with --tokenizer bpe."
        )
    vectorizer = vectorizer_of(packed)
    length = getattr(config, "max_length", 64)
    tokens = mapped.tensor(packed.features)
    batches, sizes, problems = {}, {}, []
    for split, part in held.ranges.items():
        sizes[split] = gathers.num_windows(range(*part), length)
        if sizes[split] < 1:
            problems.append(
                f"{packed.name}, {split} text: expected at least max_length + 1 = "
                f"{length + 1} tokens. Received: {len(range(*part))}. Add text, or "
                "lower max_length"
            )
            continue
        batches[split] = _batches(tokens, part, sizes[split], length, split, config)
    if problems:
        raise RefusedError(problems, heading=packed.name)
    info = DataInfo(
        name=packed.name,
        kind=held.kind,
        input_shape=(None,),
        class_names=(),
        num_examples=sizes,
        vocabulary_size=vectorizer.vocabulary_size(),
        fingerprint=held.fingerprint,
    )
    return Datasets(info, **batches, vectorizer=vectorizer)


def _batches(
    tokens: tf.Tensor,
    part: list[int],
    count: int,
    length: int,
    split: str,
    config: TrainingConfig,
) -> pipeline.Batches:
    windows = functools.partial(
        gathers.windows_of, tokens, tuple(part), length, is_mapped=True
    )
    gather = plain = windows(shift=False)
    if split == "train":
        gather = windows(shift=True)
    return pipeline.Batches(
        gather,
        num_examples=count,
        batch_size=config.micro_batch_size,
        seed=config.seed,
        **order.of_split(split, config),
        plain_gather=plain,
    )


def vectorizer_of(packed: Packed) -> keras.layers.Layer:
    """The layer from strings to the ids of a packed text."""
    return text.vectorizer_as(packed.manifest.vocabulary)
