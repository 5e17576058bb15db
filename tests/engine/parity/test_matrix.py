"""Every feature under every strategy gives what one device gives."""

import cases
import comparing
import groups
import pytest
import selection
from registry import STRATEGIES


def _cells():
    for case in cases.CASES.values():
        for precision in case.precisions:
            for strategy in case.strategies:
                names = [case.name]
                if not case.deterministic:
                    names.append(f"{case.name}@2")
                marks = [pytest.mark.runs(strategy, precision, *names)]
                if case.deterministic:
                    marks.append(pytest.mark.runs("one", precision, case.name))
                if not selection.is_default(case, strategy, precision):
                    marks.append(pytest.mark.slow)
                yield pytest.param(
                    case,
                    strategy,
                    precision,
                    marks=marks,
                    id=f"{case.name}-{strategy}-{precision}",
                )


@pytest.mark.parametrize(("case", "strategy", "precision"), _cells())
def test_equals_one_device(case, strategy, precision, results, tell):
    tell(precision, case.feature, strategy)
    found = results.arrays(strategy, precision, case.name)
    if case.deterministic:
        reference = results.arrays("one", precision, case.name)
        worst, problems = comparing.compare(reference, found, precision, case.examples)
        text = f"{worst:.0e}" if worst else "0"
    else:
        again = results.arrays(strategy, precision, f"{case.name}@2")
        problems = [
            f"{name}: another value when run again"
            for name in found
            if not (found[name] == again[name]).all()
        ]
        text = "repeats"
    assert not problems, "\n".join(problems)
    tell(precision, case.feature, strategy, text)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_process_exits(strategy, results):
    """By itself, whatever it ran."""
    outcomes = results.outcomes(strategy)
    if not outcomes:
        pytest.skip("no case of it is selected")
    for outcome in outcomes:
        # A case that raised ends its group with a code of its own, and fails above.
        fine = set(outcome.codes) <= {0, groups.OUT_OF_STEP}
        assert fine, f"{outcome.codes}\n{outcome.logs[0][-3000:]}"
