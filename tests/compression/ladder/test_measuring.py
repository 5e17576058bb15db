"""Intervals cover what they say, integers are near, a runtime's process is alone."""

import types

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerascale.compression.formats import rounding
from kerascale.compression.measuring import intervals, runtime, scores
from kerascale.errors import ExportRefusedError


def test_the_interval_of_a_drop_covers_it():
    random = np.random.default_rng(0)
    # Of each example: right before, and whether a compressed model changes that.
    p_right, p_lost, p_won = 0.95, 0.02, 0.2
    truth = p_right * p_lost - (1 - p_right) * p_won
    covered = []
    for _ in range(1500):
        before = random.random(200) < p_right
        changed = random.random(200) < np.where(before, p_lost, p_won)
        low, high = intervals.drop_of_shares(before, before ^ changed)
        covered.append(low <= truth <= high)
    assert 0.93 < np.mean(covered) < 0.995


def test_newcombes_own_example():
    """Table III of the paper, method 10: 36, 12, 2, 0 pairs."""
    before = np.repeat([True, True, False, False], [36, 12, 2, 0])
    now = np.repeat([True, False, True, False], [36, 12, 2, 0])
    low, high = intervals.drop_of_shares(before, now)
    assert before.mean() - now.mean() == pytest.approx(0.2)
    assert (low, high) == pytest.approx((0.0569, 0.3404), abs=2e-3)


def test_answers_that_did_not_change_prove_little():
    right = np.ones(50, bool)
    low, high = intervals.drop_of_shares(right, right)
    assert low < 0 < high
    assert high > 0.05


@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 1, -1]))
def test_int8_is_within_half_a_step(seed, axis):
    array = np.random.default_rng(seed).normal(size=(6, 5)).astype(np.float32)
    array[0] = 0
    integers, scale = rounding.to_int8(array, axis)
    shape = [1, 1]
    shape[axis] = -1
    error = np.abs(integers * scale.reshape(shape) - array)
    assert (error <= scale.reshape(shape) * 0.5001).all()
    assert integers.dtype == np.int8
    assert integers.min() >= -127


def test_scores_of_texts_are_nats():
    labels = np.array([[0, 1], [1, 1]])
    before = scores.Answers(labels, np.full((2, 2), 0.5), np.full((2, 2), 0.5))
    now = scores.Answers(1 - labels, np.full((2, 2), 0.25), np.full((2, 2), 0.75))
    info = types.SimpleNamespace(task="classification", class_names=())
    found = scores.score(now, before, labels, info)
    assert found["drop"] == pytest.approx(np.log(2))
    assert found["agreement"] == 0
    assert found["perplexity"] == pytest.approx(4)


def test_scores_of_numbers_are_shares_of_their_scatter():
    """R2 of several targets in units of their own."""
    random = np.random.default_rng(0)
    scale = np.array([1.0, 1000.0])
    labels = random.normal(size=(400, 2)) * scale
    before, now = (labels + s * scale * random.normal(size=(400, 2)) for s in (0.3, 1))
    info = types.SimpleNamespace(
        task="regression", target_names=("a", "b"), target_scale=tuple(scale)
    )
    answers = [scores.Answers(each, each, each) for each in (now, before)]
    found = scores.score(*answers, labels, info)
    spread = np.square(labels - labels.mean(0)).sum(0)
    r2 = [1 - np.square(each - labels).sum(0) / spread for each in (before, now)]
    assert found["r2"] == pytest.approx(r2[1].mean())
    assert found["drop"] == pytest.approx((r2[0] - r2[1]).mean())
    assert list(found["target_drops"].values()) == pytest.approx(list(r2[0] - r2[1]))
    # Scattered by 1 deviation in place of 0.3.
    low, high = found["drop_interval"]
    assert low < 0.91 < high
    assert high - low < 0.3
    assert found["agreement"] < 0.05
    assert 1 < found["largest_change"] < 10
    assert scores.score(answers[1], answers[1], labels, info)["agreement"] == 1


def test_a_file_that_is_no_model(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"none")
    with runtime.started("tensorflow", 1) as process:
        with pytest.raises(ExportRefusedError, match="loads and answers in its own"):
            process.ask(
                do="load", name="it", path=str(tmp_path), signature="serving_default"
            )
