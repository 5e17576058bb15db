"""Where a run goes on."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class ResumePoint:
    """Where a run goes on.

    Args:
        epoch: Epochs that are done; the last one of a run that has ended by
            `max_steps` may have been cut short.
        step: Batches of the next epoch that are done.
        history: Name -> value of each epoch that is done.
        callbacks: What callbacks remember, as `states.get_states` gives it.
        stop: Whether training had ended, by early stopping or `max_steps`.
        short: Batches of the last epoch that `max_steps` left out.
        rollbacks: How often the run went back from a blow-up.
        rate: What the learning rate was multiplied by for it.
        lower: The part of it that the saved rate does not hold yet.
        arrays: What `engine.state` captured; None on a worker that is given it.
        source: The checkpoint that each process reads for itself; None: the chief
            reads it, and gives it to others.
    """

    epoch: int = 0
    step: int = 0
    history: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    callbacks: list[dict[str, Any]] | None = None
    stop: bool = False
    rollbacks: int = 0
    rate: float = 1.0
    lower: float = 1.0
    short: int = 0
    arrays: Mapping[str, np.ndarray] | None = None
    source: str | None = None

    def done(self, steps_per_epoch: int) -> int:
        """Batches that have been trained in all epochs."""
        return self.epoch * steps_per_epoch + self.step - self.short
