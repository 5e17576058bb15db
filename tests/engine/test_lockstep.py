"""Replicas in threads take turns, and never wait for one that does not come."""

import threading
import time

import pytest

from kerascale.engine.collectives import lockstep


def test_one_runs_at_a_time_from_place_to_place():
    group, running, seen = lockstep.Group(3), threading.Lock(), []

    def member(number):
        for place in range(3):
            assert running.acquire(blocking=False), "two run at once"
            time.sleep(0.002)
            seen.append((place, number))
            running.release()
            assert group.exchange(number, (place, number)) == [
                (place, other) for other in range(3)
            ]
        return number

    assert group.run([lambda n=n: member(n) for n in range(3)]) == [0, 1, 2]
    assert seen == sorted(seen)


@pytest.mark.parametrize("places", [(2, 1), (1, 2), (0, 1), (3, 0)], ids=str)
def test_members_that_part_are_told(places):
    group = lockstep.Group(2)

    def member(number):
        for _ in range(places[number]):
            group.exchange(number, None)

    with pytest.raises(lockstep.OutOfStep):
        group.run([lambda: member(0), lambda: member(1)])


@pytest.mark.parametrize("number", [0, 1])
def test_what_a_member_raises_is_raised(number):
    group = lockstep.Group(2)

    def member(here):
        group.exchange(here, None)
        if here == number:
            raise ValueError("mine")
        group.exchange(here, None)

    with pytest.raises(ValueError, match="mine"):
        group.run([lambda: member(0), lambda: member(1)])
