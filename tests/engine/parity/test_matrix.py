"""Every feature under every strategy gives what one device gives."""

import cases
import comparing
import groups
import pytest
from registry import STRATEGIES


def _cells():
    """Parameters, the fast ones marked by the absence of `slow`."""
    for case in cases.CASES.values():
        for precision in case.precisions:
            for strategy in case.strategies:
                names = [case.name]
                if not case.deterministic:
                    names.append(f"{case.name}@2")
                marks = [pytest.mark.runs(strategy, precision, *names)]
                if case.deterministic:
                    marks.append(pytest.mark.runs("one", precision, case.name))
                if not is_default(case, precision, strategy):
                    marks.append(pytest.mark.slow)
                yield pytest.param(
                    case,
                    strategy,
                    precision,
                    marks=marks,
                    id=f"{case.name}-{strategy}-{precision}",
                )


def is_default(case, precision, strategy):
    """Whether a cell is in the quick selection."""
    # Three workers are in the quick selection of `test_shared_sums.py`.
    if strategy not in case.default or strategy == "workers:3":
        return False
    # float32 says little more where float64 agrees: on two devices it is enough.
    return precision == case.precisions[0] or strategy == "mirrored:2"


@pytest.mark.parametrize(("case", "strategy", "precision"), _cells())
def test_equals_one_device(case, strategy, precision, results, table):
    def add(text):
        table.add(precision, case.feature, strategy, text)

    add("**failed**")
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
    add(text)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_process_exits(strategy, results):
    """By itself, whatever it ran."""
    keys = [key for key in results.wanted if key[0] == strategy]
    if not keys:
        pytest.skip("no case of it is selected")
    for key in keys:
        for outcome in results.outcomes(*key):
            # A case that raised ends its group with a code of its own, and fails above.
            fine = set(outcome.codes) <= {0, groups.OUT_OF_STEP}
            assert fine, f"{key}: {outcome.codes}\n{outcome.logs[0][-3000:]}"
