"""What a training was asked for, and what its steps leave."""

import dataclasses
import os
from collections.abc import Mapping, Sequence

import keras

from kerascale.callbacks import Timing
from kerascale.runtime.prometheus.exporter import Address
from kerascale.training.changes import Change
from kerascale.training.dry_run import DryRun
from kerascale.training.throughput.goodput import Record


@dataclasses.dataclass(frozen=True)
class Wishes:
    """What `train` was asked for, beside what a `RunContext` has."""

    dry: DryRun
    callbacks: tuple[keras.callbacks.Callback, ...]
    init_from: str | os.PathLike | None
    init_partial: bool
    value_sources: Mapping[str, str] | None
    metrics: Address
    histograms: bool
    changes: Sequence[Change] = ()


@dataclasses.dataclass(frozen=True)
class Fitted:
    """What `fit` leaves: its history, its callbacks, how long steps took."""

    history: dict[str, list[float]]
    callbacks: list[keras.callbacks.Callback]
    timing: Timing | None
    loss_before: float | None
    record: Record | None = None
