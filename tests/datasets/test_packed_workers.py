"""Packed digits: killed and gone on with, on several workers: one result."""

import pytest
from helpers.killing import STEPS, assert_near_of_workers, assert_same_of_killed

from kerascale.datasets.packed import packing, sources

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def fields(tmp_path_factory):
    """What trains on digits as they were packed."""
    dest = tmp_path_factory.mktemp("packed") / "digits"
    packing.pack(sources.open_source("digits"), dest)
    return ("--dataset", f"packed:{dest}")


def test_killed_three_times_is_as_undisturbed_in_memory(
    train, undisturbed, fields, tmp_path
):
    steps = (7, STEPS + 3, 2 * STEPS + 9)
    assert_same_of_killed(train, tmp_path / "run", undisturbed, steps, fields)


@pytest.mark.parametrize("count", [2, 3])
def test_workers_give_one_result_and_one_goes_on_alone(
    train, undisturbed, fields, tmp_path, count
):
    assert_near_of_workers(train, tmp_path / "run", undisturbed, count, fields)
