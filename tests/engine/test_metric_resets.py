"""Metrics of several replicas begin anew without asking the other workers."""

import inspect

import keras
import numpy as np
import pytest

from kerascale.engine.step import metrics
from kerascale.engine.step.scalar_means import ScalarMean
from kerascale.optimizers import task_metrics

_ARGUMENTS = {
    "IoU": {"num_classes": 2, "target_class_ids": [0]},
    "BinaryIoU": {"target_class_ids": [0]},
    "MeanIoU": {"num_classes": 2},
    "OneHotIoU": {"num_classes": 2, "target_class_ids": [0]},
    "OneHotMeanIoU": {"num_classes": 2},
    "MeanMetricWrapper": {"fn": keras.losses.mean_squared_error},
    "PrecisionAtRecall": {"recall": 0.5},
    "RecallAtPrecision": {"precision": 0.5},
    "SensitivityAtSpecificity": {"specificity": 0.5},
    "SpecificityAtSensitivity": {"sensitivity": 0.5},
    "ScalarMean": {"name": "a"},
    "RankMAE": {"num_classes": 3},
}
_OF_KERAS = [
    found
    for _, found in inspect.getmembers(keras.metrics, inspect.isclass)
    if issubclass(found, keras.metrics.Metric) and found is not keras.metrics.Metric
]
_OWN = [ScalarMean, task_metrics.PositiveAUC, task_metrics.RankMAE]


@pytest.mark.parametrize("kind", [*_OF_KERAS, *_OWN], ids=lambda kind: kind.__name__)
def test_all_that_a_metric_adds_up_begins_with_zeros(kind):
    """What `reset` takes for granted, of Keras' metrics and of ours."""
    known = inspect.signature(kind.__init__).parameters
    given = _ARGUMENTS.get(kind.__name__, {})
    metric = kind(**{name: given[name] for name in given if name in known})
    if kind.__name__ in ("F1Score", "FBetaScore", "R2Score"):
        metric.update_state(np.ones((1, 3)), np.ones((1, 3)))
    assert metric.variables
    for variable in metric.variables:
        variable.assign(np.ones(variable.shape))
    metric.reset_state()
    assert all((v.numpy() == 0).all() for v in metric.variables)


class _Best(keras.metrics.MeanSquaredError):
    """Keeps a number that `reset_state` leaves as it is."""

    def __init__(self, **options):
        super().__init__(**options)
        self.best = self.add_weight(name="best", initializer="zeros")


def test_a_metric_of_a_users_own_is_set_back_as_it_says():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    best = _Best(name="best")
    model.compile("sgd", "mse", metrics=["mae", best])
    x = np.ones((4, 2), "float32")
    model.fit(x, x[:, :1], verbose=0)
    best.best.assign(3.0)
    found = metrics.variables_of(model)
    assert sum(float(v.numpy()) != 0 for v in found) == len(found)
    metrics.reset(model)
    assert best.best.numpy() == 3
    assert sum(float(v.numpy()) != 0 for v in found) == 1
