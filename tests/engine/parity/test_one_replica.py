"""One replica equals plain Keras, to the last bit."""

import cases
import numpy as np
import pytest
import selection

# Known differences, each meant: none of them is in the list below.
#
# - Arrays with shuffle=True come in an order of ours.
# - gradient_accumulation_steps: schedules and EMA count updates; plain Keras counts
#   micro-batches (see the test at the end).
# - steps_per_execution that does not divide steps_per_epoch: plain Keras makes more
#   steps than it was asked for.
# - jit_compile with accumulation: XLA compiles other pieces, and rounds otherwise.
# - after_update is called by kerascale alone.
# - Logs of a custom step that are no metrics are the same, but plain Keras keeps only
#   those of the last execution.
DIFFERENT = {
    "accumulation_schedule",
    "accumulation_schedule_counts",
    "accumulation_of_all_kinds",
    "arrays_shuffled",
    "fit_twice",
    "validation_split",
    "steps_per_epoch_and_execution",
    "jit_compile_accumulation",
    "jit_compile_batch_normalization",
    "moving_average",
    # Too large for threads to add up in one order.
    "mobilenet_v2",
    "saved_mobilenet",
}
ALL = [
    case.name
    for case in cases.CASES.values()
    if "float64" in case.precisions and case.name not in DIFFERENT
]
CELLS = [
    pytest.param(
        name,
        marks=[
            pytest.mark.runs("one", "float64", name),
            pytest.mark.runs("plain-one", "float64", name),
            *([] if name in selection.PLAIN else [pytest.mark.slow]),
        ],
    )
    for name in ALL
]


@pytest.mark.parametrize("name", CELLS)
def test_equals_plain_keras_bit_for_bit(name, results):
    ours = results.arrays("one", "float64", name)
    theirs = results.arrays("plain-one", "float64", name)
    ours.pop("losses", None)  # Keras does not tell them.
    assert set(ours) == set(theirs)
    other = [key for key in ours if not np.array_equal(ours[key], theirs[key])]
    assert not other


@pytest.mark.runs("one", "float64", "accumulation_schedule_counts")
@pytest.mark.runs("plain-one", "float64", "accumulation_schedule_counts")
def test_schedule_counts_updates_under_accumulation(results):
    """Plain Keras hands the number of the micro-batch to a schedule."""
    name = "accumulation_schedule_counts"
    # Rates of 1 + count, with two micro-batches for each of five updates.
    ours = results.arrays("one", "float64", name)["rates"]
    theirs = results.arrays("plain-one", "float64", name)["rates"]
    np.testing.assert_array_equal(ours, [1, 2, 3, 4, 5])
    np.testing.assert_array_equal(theirs, [2, 4, 6, 8, 10])
