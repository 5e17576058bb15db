"""What the parts of one training share."""

import dataclasses
import pathlib
from collections.abc import Mapping
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
        depends_on: Name -> sha256 of what the result depends on beside configuration
            and data, such as a teacher's weights.
        in_parts: Whether the model is cut over processes of a mesh, each of which
            writes its part of a checkpoint. `path` is then one that this process sees.
    """

    strategy: tf.distribute.Strategy
    recipe: Recipe
    config: Any
    datasets: Datasets
    policy: CheckpointPolicy
    folder: RunFolder | None = None
    path: pathlib.Path | None = None
    depends_on: Mapping[str, str] = dataclasses.field(default_factory=dict)
    in_parts: bool = False

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one pass over the training data."""
        return self.datasets.steps_per_epoch

    @property
    def epochs(self) -> int:
        """Passes over the training data in all; the last one may be begun only."""
        if self.max_batches is not None:
            return -(-self.max_batches // self.steps_per_epoch)
        return getattr(self.config, "epochs", 1)

    @property
    def max_batches(self) -> int | None:
        """Batches that `max_steps` updates take; None: training ends with an epoch."""
        max_steps = getattr(self.config, "max_steps", None)
        if max_steps is None:
            return None
        return max_steps * getattr(self.config, "gradient_accumulation_steps", 1)

    @property
    def total_batches(self) -> int:
        """Batches that are trained in all."""
        return self.max_batches or self.epochs * self.steps_per_epoch
