"""A long text as batches of windows, wherever its tokens are."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import keras

from kerascale.config import TrainingConfig
from kerascale.datasets import gathers, order, pipeline
from kerascale.datasets.bundle import Datasets
from kerascale.datasets.info import DataInfo
from kerascale.errors import RefusedError


class _Windows(Protocol):
    def __call__(self, *, shift: bool) -> gathers.Gather:
        """What gathers the windows; see `gathers.gather_windows`."""


class Part(NamedTuple):
    """The tokens of a split.

    Args:
        num_tokens: How many.
        windows: Gives what gathers windows of them.
    """

    num_tokens: int
    windows: _Windows


def prepare(
    name: str,
    parts: Mapping[str, Part],
    config: TrainingConfig,
    *,
    vectorizer: keras.layers.Layer,
    fingerprint: str,
) -> Datasets:
    """Batches of windows to train on.

    Args:
        name: What the user calls the text.
        parts: Split -> its tokens, in windows of the configuration's `max_length`.
        config: The recipe's.
        vectorizer: The layer that made the ids.
        fingerprint: Of the text.

    Raises:
        RefusedError: Naming each split that has no window.
    """
    length = getattr(config, "max_length", 64)
    batches, sizes, problems = {}, {}, []
    for split, part in parts.items():
        sizes[split] = gathers.num_windows(part.num_tokens, length)
        if sizes[split] < 1:
            problems.append(
                f"{name}, {split} text: expected at least max_length + 1 = "
                f"{length + 1} tokens. Received: {part.num_tokens}. Add text, or "
                "lower max_length"
            )
            continue
        gather = plain = part.windows(shift=False)
        if split == "train":
            gather = part.windows(shift=True)
        batches[split] = pipeline.Batches(
            gather,
            num_examples=sizes[split],
            batch_size=config.micro_batch_size,
            seed=config.seed,
            **order.of_split(split, config),
            plain_gather=plain,
        )
    if problems:
        raise RefusedError(problems, heading=name)
    info = DataInfo(
        name=name,
        kind="corpus",
        input_shape=(None,),
        class_names=(),
        num_examples=sizes,
        vocabulary_size=vectorizer.vocabulary_size(),
        fingerprint=fingerprint,
    )
    return Datasets(info, **batches, vectorizer=vectorizer)


def for_evaluation(
    name: str, part: Part, *, length: int, batch_size: int
) -> pipeline.Batches:
    """Windows of a text in their order.

    Args:
        name: What the user calls the text.
        part: All of it, in windows of this length.
        length: Tokens in a window.
        batch_size: Windows in a batch.

    Raises:
        RefusedError: If it has no window.
    """
    count = gathers.num_windows(part.num_tokens, length)
    if count < 1:
        raise RefusedError(
            f"data: expected at least max_length + 1 = {length + 1} tokens. "
            f"Received: {name} with {part.num_tokens}. Add text."
        )
    return pipeline.Batches(
        part.windows(shift=False),
        num_examples=count,
        batch_size=batch_size,
        seed=0,
        shuffle=False,
    )
