"""Workers that sum gradients through shared memory give what one device gives."""

import cases
import comparing
import pytest
import selection

STRATEGIES = ("shared:2", "shared:3")


def _cells():
    for strategy in STRATEGIES:
        for case in cases.CASES.values():
            if "workers:3" not in case.strategies or not case.deterministic:
                continue
            if "float64" not in case.precisions:
                continue
            marks = [
                pytest.mark.runs(strategy, "float64", case.name),
                pytest.mark.runs("one", "float64", case.name),
            ]
            if strategy != "shared:3" or case.name not in selection.SUMS:
                marks.append(pytest.mark.slow)
            yield pytest.param(
                case, strategy, marks=marks, id=f"{case.name}-{strategy}"
            )


@pytest.mark.parametrize(("case", "strategy"), _cells())
def test_equals_one_device(case, strategy, results):
    found = results.arrays(strategy, "float64", case.name)
    reference = results.arrays("one", "float64", case.name)
    _, problems = comparing.compare(reference, found, "float64", case.examples)
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_shared_memory_is_what_they_used(strategy, results):
    outcomes = results.outcomes(strategy)
    if not outcomes:
        pytest.skip("no case of it is selected")
    for outcome in outcomes:
        assert set(outcome.codes) == {0}
        assert "all-reduce: shared memory" in outcome.logs[0]
