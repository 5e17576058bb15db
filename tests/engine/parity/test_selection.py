"""By default every pair of what matters is run."""

import cases
import pytest
import selection
from registry import FORMS, SHARES, STRATEGIES

CASES = list(cases.CASES.values())
# What plain Keras lacks, and what stands on the steps of the others, is run on two
# devices by default.
ON_TWO_DEVICES = {"adversarial", "compressed", "private"}
GROUPS = set().union(*map(selection.groups_of, CASES)) - {"combined"} - ON_TWO_DEVICES
DEFAULT = {
    (case.name, strategy, precision)
    for case in CASES
    for strategy in STRATEGIES
    for precision in case.precisions
    if selection.is_default(case, strategy, precision)
}


def _groups(names):
    found = [selection.groups_of(cases.CASES[name]) for name in names]
    return set().union(*found) - {"combined"}


@pytest.mark.parametrize("strategy", selection.COVERED)
def test_every_group_is_run_under_every_strategy(strategy):
    found = _groups(name for name, under, _ in DEFAULT if under == strategy)
    assert found - ON_TWO_DEVICES == GROUPS
    assert strategy != "mirrored:2" or ON_TWO_DEVICES <= found


def test_four_devices_train_what_is_combined():
    names = {name for name, under, _ in DEFAULT if under == "mirrored:4"}
    assert {"combined_heads", "evaluate_and_predict"} <= names


def test_every_precision_is_run():
    found = {(p, strategy.partition(":")[0]) for _, strategy, p in DEFAULT}
    precisions = {p for case in CASES for p in case.precisions}
    assert {(p, "mirrored") for p in precisions} <= found
    assert {("float64", "workers"), ("mixed_float16", "workers")} <= found


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_run_with_what_is_different_about_it(form):
    names = {name for name, forms in selection.FORMS.items() if form in forms}
    assert {"losses", "optimizers", "random_layers"} <= _groups(names)


def test_every_case_of_the_forms_is_run_in_one():
    assert all(set(forms) <= {*FORMS, SHARES} for forms in selection.FORMS.values())
    assert all(selection.FORMS.values())


def test_every_group_equals_plain_keras_on_one_device():
    # Of mixed precision nothing is in float64.
    assert _groups(selection.PLAIN) == GROUPS - {"precision"}


def test_what_is_listed_is_there():
    for case in CASES:
        assert set(case.default) <= set(case.strategies), case.name
    for names in (
        selection.COMBINED,
        selection.FORMS,
        selection.OF_FURTHER_FORMS,
        selection.OF_SHARES,
        selection.PLAIN,
        selection.SUMS,
    ):
        assert set(names) <= set(cases.CASES)
    for (precision, strategy), names in selection.FURTHER_PRECISIONS.items():
        for name in names:
            assert (name, strategy, precision) in DEFAULT
