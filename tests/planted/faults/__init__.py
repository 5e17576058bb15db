"""The faults, by room."""

from ..fault import Fault
from . import (
    callbacks,
    cli,
    compression,
    config,
    datasets,
    diagnostics,
    engine,
    launch,
    layers,
    models,
    ops,
    optimizers,
    reporting,
    runs,
    runtime,
    serving,
    strategies,
    training,
)

ALL: tuple[Fault, ...] = (
    *cli.FAULTS,
    *compression.FAULTS,
    *diagnostics.FAULTS,
    *reporting.FAULTS,
    *training.FAULTS,
    *serving.FAULTS,
    *launch.FAULTS,
    *callbacks.FAULTS,
    *runs.FAULTS,
    *models.FAULTS,
    *layers.FAULTS,
    *optimizers.FAULTS,
    *ops.FAULTS,
    *engine.FAULTS,
    *strategies.FAULTS,
    *datasets.FAULTS,
    *runtime.FAULTS,
    *config.FAULTS,
)
