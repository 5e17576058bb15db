"""Before the first step on two devices: slices are the batch, or it is refused."""

import math
import re

import pytest
from helpers.slices import accepted, checked, predicted, refused, unchecked
from helpers.slices.devices import chosen, in_one_process, parameters

# What the refusal of each kind says.
_SAID = {
    "contrastive_in_compile": "loss 'contrastive' is .* couples the rows",
    "contrastive_in_compute_loss": "loss, of compute_loss of InBatch, is ",
    "scalar_that_is_no_mean": "loss 'rmse' is .* is no mean over them",
    "scalar_that_is_no_mean_in_evaluate": "loss 'rmse' is .* is no mean over them",
    "evaluation_behind_a_step_of_ones_own": "loss 'rmse' is .* is no mean over them",
    "added_sum": "loss, with what layers add to it, is ",
    "moving_mean": "sequential/moving writes mean: a slice another value",
    "counter": "sequential/counter writes seen: a slice another value",
    "running_maximum": "metric 'largest' is ",
    "own_clipping": "gradients that the step gives .* most in clipping/dense/",
    "table": r"member 2 of the 3 of a batch \(float64, .* it is a table",
    "mean_of_the_batch": "call of Centred: its outputs for a row depend on the other",
    "stateful": "remembers: expected a model of batches of any size",
    "stateful_in_predict": "remembers: expected a model of batches of any size",
    "scalar_prediction": "call of Mean: expected outputs with a row each. Received: a",
    "metric_of_no_scope": "Received: outside, made outside of MirroredStrategy's scope",
    "loss_made_inside": "metric 'mine' is .* keep it in an attribute of the model",
    "log_that_is_no_mean": "log 'highest' is .* on the average of its slices",
}
# Others are found as one of these is.
_DEFAULT = (
    "contrastive_in_compile",
    "contrastive_in_compute_loss",
    "moving_mean",
    "running_maximum",
    "own_clipping",
    "table",
    "mean_of_the_batch",
    "stateful",
    "metric_of_no_scope",
)
# By a look at the model, before any batch is looked at.
_BEFORE = ("stateful", "stateful_in_predict", "metric_of_no_scope")


@pytest.fixture(scope="module")
def found(request, forks):
    """Name of a case -> what was seen of it, in one process of two devices."""
    names = [f"refused.{name}" for name in refused.CASES]
    names += [f"accepted.{name}" for name in accepted.CASES]
    names += [f"checked.{name}" for name in checked.CASES]
    names += [f"unchecked.{name}" for name in unchecked.CASES]
    names += [f"predicted.{name}" for name in predicted.CASES]
    return in_one_process(forks, chosen(request, names))


def test_every_kind_is_tried():
    assert set(_SAID) == set(refused.CASES)


@pytest.mark.parametrize("name", parameters(refused.CASES, _DEFAULT))
def test_it_is_refused_by_name(name, found):
    first, second = found[name]["said"]
    for said in (first, second):  # Also when it is tried again.
        assert re.search(_SAID[name], said), said
    if name not in _BEFORE:
        assert " on 2 replicas: expected slices of a batch to be the batch" in first
        assert first.splitlines()[-1].startswith("Ways out: ask for the rows of all")


@pytest.mark.parametrize("name", parameters(refused.CASES, _DEFAULT))
def test_nothing_was_changed_and_one_device_trains_it(name, found):
    assert found[name]["changed"] == []
    assert found[name]["one"]


@pytest.mark.parametrize("name", accepted.CASES)
def test_it_is_not_refused_and_right(name, found):
    assert found[name]["worst"] < 1e-12
    # Once: Keras' own test step computes what its train step does.
    ((kind, changed, _),) = found[name]["looked"]
    assert kind == "train"
    assert changed == []


@pytest.mark.parametrize("name", predicted.CASES)
def test_predictions_know_the_batch(name, found):
    assert found[name]["worst"] < 1e-12


def _kept(forks, name):
    """What a process of its own sees of a training."""
    return in_one_process(forks, [f"remembered.{name}"])[name]


def test_what_was_seen_to_agree_is_known_in_the_next_process(
    forks, tmp_path, monkeypatch
):
    monkeypatch.setenv("KERASCALE_CACHE_DIR", str(tmp_path))
    first, second = (_kept(forks, "by_two") for _ in range(2))
    assert (first["compared"], second["compared"]) == (1, 0)
    assert first["losses"] == second["losses"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["by_three", "of_no_numbers"])
def test_what_was_not_seen_to_agree_is_compared(name, forks, tmp_path, monkeypatch):
    monkeypatch.setenv("KERASCALE_CACHE_DIR", str(tmp_path))
    before = "by_two" if name == "by_three" else name
    assert [_kept(forks, each)["compared"] for each in (before, name)] == [1, 1]


# By default they are in the parity matrix.
@pytest.mark.slow
@pytest.mark.parametrize("name", checked.CASES)
def test_recipes_are_not_refused(name, found):
    print(f"{name}: {found[name]['seconds']:.2f} s")
    assert found[name]["changed"] == []


@pytest.mark.parametrize(
    "name", parameters(unchecked.CASES, ("told", "seeded", "unseeded_of_keras"))
)
def test_what_is_not_compared_trains_and_is_said(name, found):
    assert all(map(math.isfinite, found[name]["losses"]))
    notes = {
        "seeded": "note: noise draws for each replica by itself: slices were not",
        "unseeded_of_keras": "note: keras.random without a seed draws for each replica",
        "unseeded": "as with random numbers of no seed: slices were not compared",
    }
    said = found[name]["said"]
    assert notes[name] in said if name in notes else "not compared" not in said
