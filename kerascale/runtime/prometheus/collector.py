"""The state of a training in Prometheus' words."""

import importlib.metadata
import itertools
import platform
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from kerascale._version import __version__
from kerascale.runtime.prometheus.training_state import STEP_BOUNDS, TrainingState

_PREFIX = "kerascale_train"

# Name without prefix and _total, attribute, help.
_COUNTERS = (
    ("steps", "steps", "Batches that this process has trained."),
    ("examples", "examples", "Examples that this process has trained on."),
    ("checkpoints", "checkpoints", "Checkpoints that are on the disk."),
    (
        "failed_saves",
        "failed_saves",
        "Checkpoints, or other files of the run, that could not be written.",
    ),
    (
        "non_finite",
        "non_finite",
        "How often the loss or a weight became NaN or infinite.",
    ),
    ("rollbacks", "rollbacks", "How often the run went back from a blow-up."),
)
# Left out as long as they are not known.
_GAUGES = (
    (
        "position_steps",
        "position",
        "Batches of the whole run that are done; a rollback lowers it.",
    ),
    ("planned_steps", "planned_steps", "Batches of the whole run."),
    ("loss", "loss", "Training loss, averaged over the epoch so far."),
    ("validation_loss", "validation_loss", "Loss of the last validation."),
    ("learning_rate", "learning_rate", "Learning rate of the next update."),
    ("active", "is_training", "1 from the first epoch to the end of the last, else 0."),
    (
        "start_time_seconds",
        "start_time",
        "Unix time at which this process began to train.",
    ),
    (
        "last_progress_timestamp_seconds",
        "progress_time",
        "Unix time of the last batch that was trained or validated.",
    ),
    (
        "last_checkpoint_timestamp_seconds",
        "checkpoint_time",
        "Unix time at which this process last had a checkpoint on the disk.",
    ),
    (
        "last_failed_save_timestamp_seconds",
        "failed_save_time",
        "Unix time at which a checkpoint last could not be written.",
    ),
    (
        "last_non_finite_timestamp_seconds",
        "non_finite_time",
        "Unix time at which the loss or a weight last became NaN or infinite.",
    ),
    (
        "checkpoint_interval_seconds",
        "checkpoint_seconds",
        "The longest planned time between two checkpoints.",
    ),
)


def make_registry(state: TrainingState) -> CollectorRegistry:
    """What is exported: the training, and the process that does it."""
    registry = CollectorRegistry()
    registry.register(TrainingCollector(state))
    ProcessCollector(registry=registry)
    return registry


class TrainingCollector:
    """Makes metrics of a state when Prometheus asks, so that a step costs nothing.

    Args:
        state: What the training writes to.
    """

    def __init__(self, state: TrainingState) -> None:
        self._state = state
        self._build = {
            "version": __version__,
            "keras": importlib.metadata.version("keras"),
            "tensorflow": importlib.metadata.version("tensorflow"),
            "python": platform.python_version(),
        }

    def collect(self) -> Iterator[Metric]:
        """All metrics, as of one moment."""
        state = self._state.copy()
        yield InfoMetricFamily("kerascale_build", "What trains.", self._build)
        yield InfoMetricFamily(f"{_PREFIX}_run", "What is trained.", state.labels)
        for name, attribute, text in _COUNTERS:
            value = getattr(state, attribute)
            yield CounterMetricFamily(f"{_PREFIX}_{name}", text, value)
        yield _restarts(state)
        yield _step_seconds(state)
        for name, attribute, text in _GAUGES:
            value = getattr(state, attribute)
            if value is not None:
                yield GaugeMetricFamily(f"{_PREFIX}_{name}", text, value)


def _restarts(state: TrainingState) -> Metric:
    restarts = CounterMetricFamily(
        f"{_PREFIX}_restarts",
        "How often kerascale launch has started the job again, by reason.",
        labels=("reason",),
    )
    for reason, count in state.restarts.items():
        restarts.add_metric((reason,), count)
    return restarts


def _step_seconds(state: TrainingState) -> Metric:
    bounds = [*map(str, STEP_BOUNDS), "+Inf"]
    counts = itertools.accumulate(state.step_counts)
    return HistogramMetricFamily(
        f"{_PREFIX}_step_seconds",
        "Seconds from one trained batch to the next, without the first.",
        buckets=list(zip(bounds, counts, strict=True)),
        sum_value=state.step_seconds,
    )
