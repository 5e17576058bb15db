"""Keras callbacks, one file each."""

from kerascale.callbacks.deferred_writes import Unwritten
from kerascale.callbacks.export_metrics import ExportMetrics
from kerascale.callbacks.heartbeat import Heartbeat
from kerascale.callbacks.history_record import HistoryRecord
from kerascale.callbacks.metrics_record import MetricsRecord
from kerascale.callbacks.non_finite import FailOnNonFinite
from kerascale.callbacks.progress import Progress
from kerascale.callbacks.resume_point import ResumePoint
from kerascale.callbacks.save_checkpoints import SaveCheckpoints
from kerascale.callbacks.save_weights import SaveWeights
from kerascale.callbacks.standard import standard_callbacks, worker_callbacks
from kerascale.callbacks.step_losses import StepLosses
from kerascale.callbacks.tensorboard_record import TensorBoardRecord
from kerascale.callbacks.thaw import Thaw
from kerascale.callbacks.time_spent import TimeSpent
from kerascale.callbacks.timing import Timing
from kerascale.engine.data.set_epoch import SetEpoch

# Its name in version 0.1.0.
Resumed = ResumePoint

__all__ = [
    "ExportMetrics",
    "FailOnNonFinite",
    "Heartbeat",
    "HistoryRecord",
    "MetricsRecord",
    "Progress",
    "ResumePoint",
    "Resumed",
    "SaveCheckpoints",
    "SaveWeights",
    "SetEpoch",
    "StepLosses",
    "TensorBoardRecord",
    "Thaw",
    "TimeSpent",
    "Timing",
    "Unwritten",
    "standard_callbacks",
    "worker_callbacks",
]
