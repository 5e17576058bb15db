"""Runs that were recorded, made by hand: what is the same, and which epoch is best."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest

from kerascale.reporting import compared_text, comparison
from kerascale.reporting.run_record import Recorded


def _recorded(losses=(2.0, 1.0, 1.5), val_losses=(2.0, 1.8, 1.4), accuracy=0.9):
    epochs = [
        {"epoch": i, "step": 40 * i, "loss": loss, "val_loss": val}
        for i, (loss, val) in enumerate(zip(losses, val_losses, strict=True), 1)
    ]
    return Recorded(
        name="run",
        path=pathlib.Path("run"),
        config={"recipe": "mlp", "fields": {"seed": 0}, "data": {}},
        epochs=epochs,
        evaluation={"split": "test", "accuracy": accuracy},
        throughput=None,
        losses=np.array(losses),
        events=[],
        checkpoints=[],
    )


def test_runs_are_identical_with_their_evaluation_only():
    assert comparison.compare([_recorded(), _recorded()]).identical
    other = comparison.compare([_recorded(), _recorded(accuracy=0.8)])
    assert not other.identical
    assert other.results["accuracy"] == [0.9, 0.8]


def test_the_best_epoch_is_that_of_the_validation():
    assert _recorded().best_epoch == 3
    assert _recorded(val_losses=(2.0, 1.8, float("nan"))).best_epoch == 2


def _executed(run, fields=None, **hardware):
    """The run, on other hardware and with other fields; losses of steps are unknown."""
    config = {"strategy": "one_device", "replicas": 1, "workers": 1, **run.config}
    fields = {"execution": "fixed", **run.fields, **(fields or {})}
    config = {**config, **hardware, "fields": fields}
    return dataclasses.replace(run, config=config, losses=np.empty(0))


ELSEWHERE = [
    ({"strategy": "mirrored", "replicas": 2}, {}, "strategy and replicas alone"),
    ({}, {"execution": "one_program"}, "execution alone"),
]


@pytest.mark.parametrize(("hardware", "fields", "what"), ELSEWHERE)
def test_runs_that_round_in_another_way_are_told_so(hardware, fields, what):
    one = _executed(_recorded())
    # The third epoch, behind 100 steps, is not looked at: training enlarges rounding.
    other = _executed(_recorded(losses=(2.0, 1.0003, 9.0)), fields, **hardware)
    found = comparison.compare([one, other])
    text = found.verdict
    assert "A and B are the same within rounding" in text
    assert f"in {what}, and their mean losses of the first 80 steps by 3.0e-04" in text
    assert "in float32 up to 0.001 is rounding" in text
    written = json.loads(json.dumps(compared_text.to_json(found)))
    assert written["partings"][0]["rounding"]["is_within"] is True
    assert not found.identical


@pytest.mark.parametrize(
    ("dtype", "loss", "is_within"),
    [
        ("bfloat16", 1.005, True),
        ("float16", 1.02, False),
        ("float64", 1 + 1e-12, True),
        ("float64", 1 + 1e-6, False),
    ],
)
def test_the_bound_is_that_of_the_precision(dtype, loss, is_within):
    one = _executed(_recorded(), compute_dtype=dtype)
    other = _executed(
        _recorded(losses=(2.0, loss, 1.5)), replicas=2, compute_dtype=dtype
    )
    text = comparison.compare([one, other]).verdict
    assert ("the same within rounding" in text) is is_within
    assert f"in {dtype} up to " in text
    # Another precision is no rounding of the same.
    other = _executed(_recorded(), replicas=2)
    assert "rounding" not in comparison.compare([one, other]).verdict


@pytest.mark.parametrize(("hardware", "fields", "what"), ELSEWHERE)
@pytest.mark.parametrize("loss", [1.002, float("nan")])
def test_what_rounding_does_not_explain_is_told(hardware, fields, what, loss):
    one = _executed(_recorded())
    other = _executed(_recorded(losses=(2.0, loss, 1.5)), fields, **hardware)
    text = comparison.compare([one, other]).verdict
    assert f"A and B differ by more than rounding: in {what}" in text
    assert "kerascale verify tells where" in text


@pytest.mark.parametrize(
    ("fields", "hardware"), [({"seed": 1}, {"replicas": 2}), ({}, {})]
)
def test_rounding_is_no_word_where_runs_differ_in_more_or_nothing(fields, hardware):
    one = _executed(_recorded())
    other = _executed(_recorded(losses=(2.0, 1.0003, 1.5)), fields, **hardware)
    assert "rounding" not in comparison.compare([one, other]).verdict


def test_a_step_alone_that_rounds_in_another_way_is_within_rounding():
    one = _executed(_recorded())
    other = _executed(_recorded(), {"execution": "one_program"})
    losses = np.full(3000, 1.5)
    one = dataclasses.replace(one, losses=losses)
    other_losses = losses + np.where(np.arange(3000) < 200, 1e-7, 0.5)
    other_losses[0] = losses[0]
    other = dataclasses.replace(other, losses=other_losses)
    text = comparison.compare([one, other]).verdict
    assert "part at step 2" in text
    # What 3,000 steps made of it is not held against it.
    assert "mean losses of the first 100 steps by 6.6e-08" in text


def test_steps_are_compared_with_what_replicas_have_recorded():
    """Of several replicas the losses of single steps are not known."""
    one = _executed(_recorded(losses=(2.0, 1.0), val_losses=(2.0, 1.8)))
    one = dataclasses.replace(one, losses=np.linspace(3, 1, 40))
    between = [{"epoch": 1, "step": n, "loss": 3 - (n - 1) / 39} for n in (10, 20)]
    end = {"epoch": 1, "step": 400, "loss": 1.7}
    other = _executed(_recorded(), strategy="mirrored", replicas=2)
    other = dataclasses.replace(other, intervals=between, epochs=[end])
    text = comparison.compare([one, other]).verdict
    assert "the same within rounding" in text
    assert "of the first 20 steps" in text
    between[1]["loss"] *= 1.1
    text = comparison.compare([one, other]).verdict
    assert "by more than rounding" in text
