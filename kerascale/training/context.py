"""What the parts of one training share."""

import dataclasses
import pathlib
from typing import Any

import tensorflow as tf

from kerascale.config import CheckpointPolicy
from kerascale.config.recipes import Recipe
from kerascale.datasets import Datasets
from kerascale.runs.folder import RunFolder


@dataclasses.dataclass(frozen=True)
class RunContext:
    """One training: where, what, on which data, into which folder.

    Args:
        strategy: Where it trains.
        recipe: What it trains.
        config: The recipe's configuration. From `execution_mode.choose` on it has what
            was chosen where it said `auto`.
        datasets: The data.
        policy: When the state is saved, and what follows on a blow-up.
        folder: The run folder, held by this process; None on a worker that is not the
            chief, and before it is opened.
        path: That folder's path, on all workers; None before it is opened.
    """

    strategy: tf.distribute.Strategy
    recipe: Recipe
    config: Any
    datasets: Datasets
    policy: CheckpointPolicy
    folder: RunFolder | None = None
    path: pathlib.Path | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one pass over the training data."""
        return self.datasets.steps_per_epoch

    @property
    def epochs(self) -> int:
        """Passes over the training data in all."""
        return getattr(self.config, "epochs", 1)
