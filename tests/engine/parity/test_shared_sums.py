"""Workers that sum gradients through shared memory give what one device gives."""

import cases
import comparing
import pytest

STRATEGIES = ("shared:2", "shared:3")
# What goes into the sum is not the same in each: packed, sparse, accumulated, compiled,
# of a user's own step, of an empty slice, one by one.
DEFAULT = (
    "custom_train_step",
    "empty_slice_dense",
    "jit_compile_accumulation",
    "run_eagerly",
    "sparse_gradients",
    "steps_per_execution",
)


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
            if strategy != "shared:3" or case.name not in DEFAULT:
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


def test_the_cases_of_the_quick_selection_are_there():
    assert set(DEFAULT) <= set(cases.CASES)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_shared_memory_is_what_they_used(strategy, results):
    outcomes = results.outcomes(strategy, "float64")
    if not outcomes:
        pytest.skip("no case of it is selected")
    for outcome in outcomes:
        assert set(outcome.codes) == {0}
        assert "all-reduce: shared memory" in outcome.logs[0]
