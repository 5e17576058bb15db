"""Every form of execution that `fit` may choose gives what single steps give.

One device with a form forced, or several, against one device step by step: the law of
several devices. Where a form cannot be, `fit` says so and does without; the second test
looks that this is not the rule.
"""

import cases
import comparing
import groups
import pytest
import selection
from registry import FORMS, FURTHER_FORMS, SHARES

# On a CPU its many convolutions take more than five minutes in a loop of XLA's: there
# `auto` tries no program of convolutions.
TOO_SLOW = {("mobilenet_v2", "one:one_program")}


def _may_be(case, form):
    strategy = form.partition("+")[0].replace("shared", "workers")
    return strategy.startswith("one:") or strategy in case.strategies


def _forms(case):
    further = FURTHER_FORMS if case.name in selection.OF_FURTHER_FORMS else ()
    shares = (SHARES,) if case.name in selection.OF_SHARES else ()
    return (*FORMS, *shares, *further)


def _cells():
    for case in cases.CASES.values():
        if not case.deterministic:
            continue
        for form in _forms(case):
            if (case.name, form) in TOO_SLOW or not _may_be(case, form):
                continue
            for precision in case.precisions:
                marks = [
                    pytest.mark.runs(form, precision, case.name),
                    pytest.mark.runs("one", precision, case.name),
                ]
                is_default = form in selection.FORMS.get(case.name, ())
                if not is_default or precision != "float64":
                    marks.append(pytest.mark.slow)
                yield pytest.param(
                    case,
                    form,
                    precision,
                    marks=marks,
                    id=f"{case.name}-{form}-{precision}",
                )


@pytest.mark.parametrize(("case", "form", "precision"), _cells())
def test_equals_single_steps(case, form, precision, results, tell):
    tell(precision, case.feature, form)
    found = results.arrays(form, precision, case.name)
    reference = results.arrays("one", precision, case.name)
    # No callback sees the fifth step alone.
    reference = {k: v for k, v in reference.items() if not k.startswith("after5/")}
    found = {k: v for k, v in found.items() if not k.startswith("gradient/")}
    worst, problems = comparing.compare(reference, found, precision, case.examples)
    assert not problems, "\n".join(problems)
    tell(precision, case.feature, form, f"{worst:.0e}" if worst else "0")


@pytest.mark.parametrize(
    ("form", "name"),
    [
        pytest.param(form, name, marks=pytest.mark.runs(form, "float64", name))
        for name, forms in selection.FORMS.items()
        for form in forms
    ],
)
def test_the_form_is_taken(form, name, results):
    kind = groups.Cell(form, "float64", name).form
    assert f"form {name} {kind}\n" in results.log(form, "float64", name)
