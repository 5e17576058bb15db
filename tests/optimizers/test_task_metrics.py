"""Losses and metrics of tasks: their formulas, and sums that replicas can add."""

import keras
import numpy as np
import pytest

import kerascale as ks
from kerascale.layers import TargetScale
from kerascale.optimizers import task_losses, task_metrics
from kerascale.training import task_scores

MEAN, SCALE = (1e6, -3.0), (200.0, 0.5)


def targets(rows=64):
    random = np.random.default_rng(0)
    true = random.normal(size=(rows, 2)) * SCALE + MEAN
    return true, true + random.normal(size=(rows, 2)) * SCALE * 0.3


def r2(true, predicted):
    errors = np.square(predicted - true).sum(axis=0)
    return (1 - errors / np.square(true - true.mean(axis=0)).sum(axis=0)).mean()


def test_metrics_of_a_regression_are_means_over_targets():
    true, predicted = targets()
    # float32 has seven digits, of a target of a million.
    true, predicted = true.astype("float32"), predicted.astype("float32")
    wide = true.astype("float64"), predicted.astype("float64")
    expected = {
        task_metrics.TargetMAE: np.abs(wide[1] - wide[0]).mean(axis=0).mean(),
        task_metrics.TargetRMSE: np.sqrt(np.square(wide[1] - wide[0]).mean(0)).mean(),
        task_metrics.R2: r2(*wide),
    }
    for kind, value in expected.items():
        whole = kind(MEAN, SCALE, name="m")
        whole.update_state(true, predicted)
        assert float(whole.result()) == pytest.approx(value, rel=1e-4)
        # Two replicas with slices of their own, whose sums are added.
        parts = [kind(MEAN, SCALE, name="m") for _ in range(2)]
        parts[0].update_state(true[:5], predicted[:5])
        parts[1].update_state(true[5:], predicted[5:])
        for ours, theirs in zip(*(p.variables for p in parts), strict=True):
            ours.assign(ours + theirs)
        assert float(parts[0].result()) == pytest.approx(value, rel=1e-4)


def test_a_target_that_never_changes_has_no_r2():
    metric = task_metrics.R2((3.0,), (1.0,), name="r2")
    metric.update_state(np.full((4, 1), 3.0), np.full((4, 1), 2.0))
    assert float(metric.result()) == 0


def test_the_loss_is_in_units_of_the_scale():
    true, predicted = targets()
    loss = task_losses.ScaledSquaredError(SCALE)
    expected = np.square((true - predicted) / SCALE).mean()
    assert float(loss(true, predicted)) == pytest.approx(expected, rel=1e-3)
    again = task_losses.ScaledSquaredError.from_config(loss.get_config())
    assert again.scale == SCALE


def auc(labels, scores):
    pairs = [
        (p > n) + 0.5 * (p == n)
        for p in scores[labels == 1]
        for n in scores[labels == 0]
    ]
    return np.mean(pairs)


def test_areas_are_exact_with_ties():
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 200)
    scores = np.round(random.random(200) + 0.3 * labels, 1)
    found = task_scores.area_under_roc(labels, scores)
    assert found == pytest.approx(auc(labels, scores))
    metric = task_metrics.PositiveAUC(name="auc")
    metric.update_state(labels, np.stack([1 - scores / 2, scores / 2], axis=-1))
    assert float(metric.result()) == pytest.approx(found, abs=0.01)
    # By the definition: precision at each positive, from the best score down.
    values = np.unique(scores)[::-1]
    steps = [(scores == v) & (labels == 1) for v in values]
    precision = [labels[scores >= v].mean() for v in values]
    expected = sum(s.sum() * p for s, p in zip(steps, precision, strict=True))
    found = task_scores.average_precision(labels, scores)
    assert found == pytest.approx(expected / labels.sum())


def test_the_threshold_has_the_largest_f1():
    random = np.random.default_rng(0)
    labels = (random.random(300) < 0.2).astype(int)
    scores = np.clip(random.normal(0.2 + 0.2 * labels, 0.1), 0, 1)

    def f1(threshold):
        taken = scores >= threshold
        return 2 * (taken & (labels == 1)).sum() / (taken.sum() + labels.sum())

    found = task_scores.best_threshold(labels, scores)
    assert f1(found) == max(map(f1, np.unique(scores)))
    assert not (scores == found).any()
    assert task_scores.best_threshold(np.zeros(3, int), np.ones(3)) == 0.5


def test_the_kappa_of_ranks():
    labels = np.array([0, 1, 2, 3, 1])
    probabilities = np.eye(4)[[0, 1, 2, 1, 1]]
    found = task_scores.ordinal(labels, probabilities)
    assert found["mae"] == pytest.approx(2 / 5)
    observed = np.mean([0, 0, 0, 4, 0])
    pairs = [(a - b) ** 2 for a in labels for b in [0, 1, 2, 1, 1]]
    assert found["kappa"] == pytest.approx(1 - observed / np.mean(pairs))
    metric = task_metrics.RankMAE(name="mae")
    metric.update_state(labels, probabilities)
    assert float(metric.result()) == pytest.approx(2 / 5)


def test_several_labels_are_counted_each():
    labels = np.array([[1, 0], [1, 1], [0, 0], [0, 1]], "float32")
    outputs = np.array([[0.9, 0.2], [0.4, 0.8], [0.1, 0.6], [0.2, 0.7]], "float32")
    found = task_scores.multilabel(labels, outputs, ["a", "b"])
    assert found["exact_match"] == 0.5
    assert found["accuracy"] == 0.75
    assert found["per_label"]["a"]["recall"] == 0.5
    assert found["per_label"]["b"]["precision"] == pytest.approx(2 / 3)
    expected = keras.losses.BinaryCrossentropy()(labels, outputs)
    assert found["loss"] == pytest.approx(float(expected), rel=1e-4)


def test_answers_have_the_units_of_the_targets():
    layer = TargetScale([100.0], [7.0])
    np.testing.assert_allclose(layer(np.array([[-1.0], [2.0]])), [[93], [114]])
    with pytest.raises(ValueError, match="`scale` must have a positive number"):
        TargetScale([1.0], [0.0])
    model = ks.models.MLP(1, classifier_activation=None, output_scaling=layer)
    model.build((None, 3))
    again = ks.models.MLP.from_config(model.get_config())
    assert again.output_scaling.get_config() == layer.get_config()


def test_the_deviance_of_counts_is_that_of_poisson():
    true, predicted = np.array([[0.0, 3], [4, 500]]), np.array([[0.5, 3], [1, 400]])
    loss = task_losses.PoissonDeviance((2.0, 300.0))
    logarithm = true * np.log(np.where(true > 0, true, 1) / predicted)
    expected = (2 * (logarithm - true + predicted) / [2.0, 300.0]).mean()
    assert float(loss(true, predicted)) == pytest.approx(expected, rel=1e-5)
    assert float(loss(true, np.maximum(true, 1e-9))) == pytest.approx(0, abs=1e-6)
    again = task_losses.PoissonDeviance.from_config(loss.get_config())
    assert again.mean == loss.mean
