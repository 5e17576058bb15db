"""By default every pair of what matters is run."""

import cases
import pytest
import selection
from registry import FORMS, STRATEGIES

CASES = list(cases.CASES.values())
GROUPS = {selection.group_of(case) for case in CASES}
DEFAULT = {
    (case.name, strategy, precision)
    for case in CASES
    for strategy in STRATEGIES
    for precision in case.precisions
    if selection.is_default(case, strategy, precision)
}


def _groups(names):
    return {selection.group_of(cases.CASES[name]) for name in names}


@pytest.mark.parametrize("strategy", selection.COVERED)
def test_every_group_is_run_under_every_strategy(strategy):
    assert _groups(name for name, under, _ in DEFAULT if under == strategy) == GROUPS


def test_every_precision_is_run_under_devices_and_under_workers():
    found = {(p, strategy.partition(":")[0]) for _, strategy, p in DEFAULT}
    precisions = {p for case in CASES for p in case.precisions} - {"mixed_bfloat16"}
    kinds = ("mirrored", "workers")
    assert {(p, kind) for p in precisions for kind in kinds} <= found
    assert ("mixed_bfloat16", "mirrored") in found


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_run_with_what_is_different_about_it(form):
    names = {name for name, forms in selection.FORMS.items() if form in forms}
    assert {"schedule", "dropout", "several_outputs"} <= names


def test_every_case_of_the_forms_is_run_in_one():
    assert all(set(forms) <= set(FORMS) for forms in selection.FORMS.values())
    assert all(selection.FORMS.values())


def test_every_group_equals_plain_keras_on_one_device():
    # Of mixed precision nothing is in float64.
    assert _groups(selection.PLAIN) == GROUPS - {"precision"}


def test_what_is_listed_is_there():
    for case in CASES:
        assert set(case.default) <= set(case.strategies), case.name
    for names in (selection.SUMS, selection.FORMS, selection.PLAIN):
        assert set(names) <= set(cases.CASES)
    for (precision, strategy), names in selection.FURTHER_PRECISIONS.items():
        for name in names:
            assert (name, strategy, precision) in DEFAULT
