"""The callbacks that every run has, in the order in which they must run.

Those that need more than a run folder, such as checkpoints and the heartbeat, are added
by `kerascale.training`. One that need not look at every step says `every_step = False`,
which lets steps run without Python between them.
"""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import keras

from kerascale.callbacks.deferred_writes import Unwritten
from kerascale.callbacks.history_record import HistoryRecord
from kerascale.callbacks.metrics_record import MetricsRecord
from kerascale.callbacks.non_finite import FailOnNonFinite
from kerascale.callbacks.progress import Progress
from kerascale.callbacks.save_weights import SaveWeights
from kerascale.callbacks.tensorboard_record import TensorBoardRecord
from kerascale.config.monitor import Monitor, monitor_of
from kerascale.runs import layout


def standard_callbacks(
    folder: pathlib.Path,
    *,
    examples_per_epoch: int,
    steps_per_epoch: int,
    has_validation: bool,
    early_stopping_patience: int | None,
    unwritten: Unwritten | None = None,
    fields: Mapping[str, Any] | None = None,
    inputs: Any = None,
    histograms: bool = False,
    total_steps: int | None = None,
    count_examples: Callable[[], int] | None = None,
    first_epoch: int = 0,
) -> list[keras.callbacks.Callback]:
    """Plain Keras callbacks, in a list that a user can print, extend or replace.

    Args:
        folder: The run folder.
        examples_per_epoch: Examples in one pass.
        steps_per_epoch: Batches in one pass.
        has_validation: Whether the best weights are chosen by `val_loss`; else by
            `loss`; unless `fields` has a `monitor`.
        early_stopping_patience: Epochs without improvement before `fit` stops; or
            None.
        unwritten: What happens where a file cannot be written; None: training stops.
        fields: See `TensorBoardRecord`.
        inputs: See `TensorBoardRecord`.
        histograms: See `TensorBoardRecord`.
        total_steps: See `Progress`.
        count_examples: Tells `examples_per_epoch` as far as it is known by now, for
            the speed that is recorded; None: it stays as it is.
        first_epoch: From 0: the first whose weights may be the best ones, and from
            which on early stopping counts.
    """
    monitor = monitor_of(fields or {}, has_validation)
    checkpoints = folder / layout.CHECKPOINTS
    callbacks: list[keras.callbacks.Callback] = [
        # First: nothing below may save what is not finite.
        FailOnNonFinite(),
        SaveWeights(checkpoints / layout.BEST_WEIGHTS, monitor, unwritten, first_epoch),
        SaveWeights(checkpoints / layout.LAST_WEIGHTS, unwritten=unwritten),
        # A run that goes on finds what it wrote before.
        HistoryRecord(folder / layout.HISTORY, unwritten),
        MetricsRecord(
            folder / layout.METRICS,
            count_examples or examples_per_epoch,
            unwritten,
            steps_per_epoch,
        ),
        TensorBoardRecord(
            folder / layout.TENSORBOARD,
            unwritten,
            steps_per_epoch=steps_per_epoch,
            fields=fields,
            inputs=inputs,
            histograms=histograms,
        ),
        Progress(examples_per_epoch, steps_per_epoch, total_steps),
    ]
    for callback in callbacks:  # The chief alone has them.
        callback.reads_weights = False
    early = _early_stopping(monitor, early_stopping_patience, first_epoch)
    return [*callbacks, *early]


def worker_callbacks(
    has_validation: bool,
    early_stopping_patience: int | None,
    fields: Mapping[str, Any] | None = None,
    first_epoch: int = 0,
) -> list[keras.callbacks.Callback]:
    """Those of a worker that is not the chief: what decides, and nothing that writes.

    Args:
        has_validation: See `standard_callbacks`.
        early_stopping_patience: See `standard_callbacks`.
        fields: The configuration, of which `monitor` is read.
        first_epoch: See `standard_callbacks`.
    """
    monitor = monitor_of(fields or {}, has_validation)
    early = _early_stopping(monitor, early_stopping_patience, first_epoch)
    return [FailOnNonFinite(), *early]


def _early_stopping(
    monitor: Monitor, patience: int | None, first_epoch: int
) -> list[keras.callbacks.Callback]:
    if patience is None:
        return []
    return [
        keras.callbacks.EarlyStopping(
            monitor=monitor.name,
            mode=monitor.mode,
            patience=patience,
            start_from_epoch=first_epoch,
        )
    ]
