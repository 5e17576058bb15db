"""Which metric chooses the best weights, and whether it rises or falls."""

import math

import keras
import pytest

import kerascale as ks
from kerascale.config.monitor import Monitor, direction, monitor_of


def test_the_directions_are_those_of_keras():
    """Of each metric that Keras has, by the name that it gives itself."""
    made = []
    arguments = {
        "MeanIoU": {"num_classes": 2},
        "IoU": {"num_classes": 2, "target_class_ids": [0]},
        "BinaryIoU": {},
        "OneHotIoU": {"num_classes": 2, "target_class_ids": [0]},
        "OneHotMeanIoU": {"num_classes": 2},
        "MeanRelativeError": {"normalizer": [1.0]},
        "PrecisionAtRecall": {"recall": 0.5},
        "RecallAtPrecision": {"precision": 0.5},
        "SensitivityAtSpecificity": {"specificity": 0.5},
        "SpecificityAtSensitivity": {"sensitivity": 0.5},
    }
    for name, kind in vars(keras.metrics).items():
        if not isinstance(kind, type) or not issubclass(kind, keras.metrics.Metric):
            continue
        known = getattr(kind, "_direction", None)
        try:
            metric = kind(**arguments.get(name, {}))
        except TypeError:
            continue
        known = getattr(metric, "_direction", known)
        if known is not None:
            made.append(metric.name)
            expected = "max" if known == "up" else "min"
            assert direction(metric.name) == expected, metric.name
            assert direction(f"val_{metric.name}") == expected
    assert len(made) > 25


def test_what_is_better():
    nan = math.nan
    assert Monitor("val_loss").best([nan, 3.0, 1.0, 1.0]) == 2
    assert Monitor("accuracy", "max").best([0.5, nan, 0.9, 0.9]) == 2
    assert Monitor("loss").best([nan]) == 0
    assert not Monitor("loss").is_better(nan, math.inf)
    assert Monitor("a", "max").is_better(-1e9, Monitor("a", "max").worst)


def test_what_a_configuration_asks_for(recipe):
    assert monitor_of({}, True) == Monitor("val_loss")
    assert monitor_of({}, False) == Monitor("loss")
    assert monitor_of({"monitor": "val_accuracy"}, True).mode == "max"
    assert monitor_of({"monitor": "mine", "monitor_mode": "max"}, True).mode == "max"
    with pytest.raises(ks.RefusedError, match=r"is known. Received: 'mine'. Pass"):
        recipe.Config(monitor="mine")
    with pytest.raises(ks.RefusedError, match="monitor_mode: expected with monitor"):
        recipe.Config(monitor_mode="max")
