"""Recurrent network that classifies sequences, texts, or images row by row.

Command: kerascale train rnn
Result: test accuracy 0.987 (mean of seeds 0, 1 and 2; margin 0.01)
Time: 14 s on 2 CPU cores
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import keras

import kerascale as ks
from kerascale.config import TASKS, PositiveFloat, PositiveInt, Share


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(ks.config.ImageConfig):
    """Fields of the recipe `rnn`."""

    cell: Literal["lstm", "gru", "simple"] = "lstm"
    """Kind of recurrent layer."""
    units: tuple[PositiveInt, ...] = (64,)
    """Width of each recurrent layer."""
    bidirectional: bool = True
    """Read the sequence from both ends."""
    vocabulary_size: PositiveInt = 10_000
    """Texts: the most frequent words that are told apart."""
    max_length: PositiveInt = 256
    """Texts: words beyond it are cut off."""
    embedding_dim: PositiveInt = 64
    """Texts: width of a word's vector."""
    dropout: Share = 0.2
    """Share of activations set to zero in training."""
    learning_rate: PositiveFloat = 3e-3
    """Learning rate at its highest, before any decay."""
    global_clipnorm: PositiveFloat | None = 1.0
    """All gradients together are scaled down to this norm."""


# What `kerascale tune rnn` searches where --field does not say it.
SEARCH = (
    "learning_rate=log:5e-4..1e-2",
    "units=[64,128,64 64]",
    "dropout=0..0.4",
    "cell=[lstm,gru]",
)


def make_datasets(config: Config) -> ks.datasets.Datasets:
    return ks.datasets.from_config(
        config, kinds=("image", "vector", "text", "table"), tasks=TASKS
    )


def make_model(config: Config, datasets: ks.datasets.Datasets) -> keras.Model:
    model = ks.models.RNN(
        datasets.info.num_outputs,
        units=config.units,
        cell=config.cell,
        bidirectional=config.bidirectional,
        vocabulary_size=datasets.info.vocabulary_size,
        embedding_dim=config.embedding_dim,
        normalization=datasets.normalization(as_sequence=True),
        **datasets.output_options(),
        **ks.optimizers.layer_options(config),
    )
    model.build((None, *datasets.info.input_shape))
    return ks.optimizers.compile_for_task(model, config, datasets)
