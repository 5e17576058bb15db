"""What a person is told of a model that is changed, or that cannot equal one device."""

import pytest

TOLD = {
    "stock_dropout": "it equals one device in distribution, not in bits",
    "jit_compile_batch_normalization": "the step is not compiled by XLA",
    "batch_normalization": "1 BatchNormalization of functional set to",
}
QUIET = "uneven"


@pytest.mark.runs("mirrored:2", "float64", *TOLD)
@pytest.mark.parametrize("name", TOLD)
def test_is_told_once(name, results):
    # Over five epochs, two evaluations and a prediction.
    assert results.log("mirrored:2", "float64", name).count(TOLD[name]) == 1


@pytest.mark.runs("mirrored:2", "float64", QUIET)
def test_nothing_is_told_of_what_is_right(results):
    log = results.log("mirrored:2", "float64", QUIET)
    assert not any(text in log for text in ("note:", *TOLD.values()))
