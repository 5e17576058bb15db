"""Sums through shared memory between real processes, and what ends them."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from helpers import summing
from hypothesis import given, settings
from hypothesis import strategies as st

from kerascale.strategies.shared_memory import Peers

ROOT = pathlib.Path(__file__).parents[2]
# A test process has no second one of its kind, and nothing waits for longer.
PATIENCE_SECONDS = 60


class Group:
    """Processes that sum with each other."""

    def __init__(self, num_ranks, patience_seconds=PATIENCE_SECONDS):
        self.processes = [
            subprocess.Popen(
                [
                    sys.executable,
                    summing.__file__,
                    *map(str, (rank, num_ranks, patience_seconds)),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
            for rank in range(num_ranks)
        ]
        addresses = [self.hear(rank) for rank in self.ranks]
        self.tell(addresses)
        assert [self.hear(rank) for rank in self.ranks] == [""] * num_ranks
        self.tell("go")

    @property
    def ranks(self):
        return range(len(self.processes))

    def tell(self, message, ranks=None):
        for rank in self.ranks if ranks is None else ranks:
            pipe = self.processes[rank].stdin
            pipe.write(json.dumps(message) + "\n")
            pipe.flush()

    def hear(self, rank):
        return json.loads(self.processes[rank].stdout.readline())

    def sum(self, seed, layout, **more):
        """What each rank answers."""
        self.tell({"seed": seed, "layout": layout, **more})
        return [self.hear(rank) for rank in self.ranks]

    def close(self):
        for process in self.processes:
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()


def expected(num_ranks, seed, layout):
    """The digest of the sum in the order of the ranks."""
    total, *others = (summing.arrays(rank, seed, layout) for rank in range(num_ranks))
    for other in others:
        total = [a + b for a, b in zip(total, other, strict=True)]
    return summing.digest(total)


@pytest.fixture(scope="module")
def groups():
    """Number of ranks -> its processes, which live on."""
    made = {}

    def get(num_ranks):
        if num_ranks not in made:
            made[num_ranks] = Group(num_ranks)
        return made[num_ranks]

    yield get
    for group in made.values():
        group.close()


@contextlib.contextmanager
def group_of(num_ranks, **options):
    group = Group(num_ranks, **options)
    try:
        yield group
    finally:
        group.close()


shapes = st.lists(st.integers(0, 40), max_size=3)
layouts = st.lists(
    st.tuples(st.sampled_from(["float32", "float64"]), shapes), min_size=1, max_size=6
)


@pytest.mark.parametrize("num_ranks", [2, 3, 4])
@settings(max_examples=25, deadline=None)
@given(layout=layouts, seed=st.integers(0, 2**20))
def test_the_sum_in_the_order_of_the_ranks_to_the_bit(num_ranks, groups, layout, seed):
    answers = groups(num_ranks).sum(seed, layout)
    assert answers == [{"digests": [expected(num_ranks, seed, layout)]}] * num_ranks


@settings(max_examples=12, deadline=None)
@given(
    steps=st.lists(
        st.tuples(layouts, st.sampled_from(["", "own_sum", "swap"])),
        min_size=1,
        max_size=6,
    )
)
def test_two_ranks_may_add_up_for_themselves_or_give_one_part_for_another(
    groups, steps
):
    is_right = summing.digest([np.array([True])])
    for seed, (layout, how) in enumerate(steps):
        answers = groups(2).sum(seed, layout, **({how: True} if how else {}))
        found = is_right if how == "swap" else expected(2, seed, layout)
        assert answers == [{"digests": [found]}] * 2


rows = st.lists(st.integers(0, 40), min_size=1, max_size=3)
layouts_of_rows = st.lists(
    st.tuples(st.sampled_from(["float32", "float64", "int64", "int32"]), rows),
    min_size=1,
    max_size=4,
)


@pytest.mark.parametrize("num_ranks", [2, 3])
@settings(max_examples=12, deadline=None)
@given(steps=st.lists(st.tuples(layouts_of_rows, st.booleans()), max_size=4))
def test_rows_in_the_order_of_the_ranks_however_many_each_has(num_ranks, groups, steps):
    for seed, (layout, are_summed) in enumerate(steps):
        if are_summed:  # In between, and of memory that grows with rows.
            layout = [["float32", shape] for _, shape in layout]
            wanted = expected(num_ranks, seed, layout)
        else:
            brought = [
                summing.fewer(rank, summing.arrays(rank, seed, layout))
                for rank in range(num_ranks)
            ]
            wanted = summing.digest(map(np.concatenate, zip(*brought, strict=True)))
        answers = groups(num_ranks).sum(seed, layout, rows=not are_summed)
        assert answers == [{"digests": [wanted]}] * num_ranks


@pytest.mark.parametrize("num_ranks", [2, 3])
def test_large_arrays_and_growing_memory(num_ranks, groups):
    for size in (10, 300_000, 7, 900_001):
        layout = [["float32", [size]], ["float64", [size // 3]], ["float32", []]]
        answers = groups(num_ranks).sum(size, layout)
        assert answers == [{"digests": [expected(num_ranks, size, layout)]}] * num_ranks


@pytest.mark.parametrize("num_ranks", [2, 3])
def test_a_sum_that_is_held_stays_as_it_is(num_ranks, groups):
    layout = [["float32", [1000]], ["float32", [3, 5]]]
    for seed in range(8):
        answers = groups(num_ranks).sum(seed, layout, hold=4)
    wanted = [expected(num_ranks, seed, layout) for seed in range(4, 8)]
    assert answers == [{"digests": wanted}] * num_ranks


@pytest.mark.parametrize("killed", [0, 1, 2])
def test_a_killed_peer_is_named_by_all_others_at_once(killed):
    layout = [["float32", [1000]]]
    with group_of(3) as group:
        group.sum(0, layout)
        left = [rank for rank in group.ranks if rank != killed]
        pid = group.processes[killed].pid
        group.tell({"seed": 1, "layout": layout}, left)
        time.sleep(0.2)  # For them to wait for the third.
        began = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        for rank in left:
            error = group.hear(rank)["error"]
            assert f"worker {killed} (process {pid}) is gone" in error
        assert time.monotonic() - began < 5
        # From then on, nothing more is tried.
        group.tell({"seed": 2, "layout": layout}, left)
        for rank in left:
            assert f"worker {killed}" in group.hear(rank)["error"]


def test_a_peer_whose_child_holds_its_pipes_is_missed():
    with group_of(2) as group:
        group.sum(0, [["float32", [8]]])
        pid = group.processes[1].pid
        # What a child that was forked has: the same open pipes.
        files = [
            os.open(f"/proc/{pid}/fd/{name}", os.O_RDWR | os.O_NONBLOCK)
            for name in os.listdir(f"/proc/{pid}/fd")
            if os.readlink(f"/proc/{pid}/fd/{name}").startswith("pipe:")
        ]
        try:
            group.tell({"seed": 1, "layout": [["float32", [8]]]}, [0])
            began = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            # It is not collected by its parent, this process: a zombie.
            assert f"worker 1 (process {pid}) is gone" in group.hear(0)["error"]
            assert time.monotonic() - began < 5
        finally:
            for file in files:
                os.close(file)


def test_a_peer_that_does_not_come_is_waited_for_and_named():
    layout = [["float32", [8]]]
    with group_of(2, patience_seconds=1) as group:
        group.sum(0, layout)
        os.kill(group.processes[1].pid, signal.SIGSTOP)
        group.tell({"seed": 1, "layout": layout}, [0])
        error = group.hear(0)["error"]
        assert "worker 1" in error
        assert "runs, but has not come to reduction 2 within" in error
        os.kill(group.processes[1].pid, signal.SIGCONT)
        group.tell({"seed": 1, "layout": layout}, [1])
        assert "worker 0 has given up" in group.hear(1)["error"]


def test_workers_out_of_step_are_told_instead_of_a_wrong_sum():
    with group_of(2) as group:
        group.sum(0, [["float32", [8]]])
        group.tell({"seed": 1, "layout": [["float32", [8]]]}, [0])
        group.tell({"seed": 1, "layout": [["float32", [4]]]}, [1])
        errors = [group.hear(rank)["error"] for rank in group.ranks]
        assert any("is out of step: expected reduction 2" in error for error in errors)


def test_nothing_to_sum():
    with group_of(2) as group:
        for layout in ([["float32", [0]]], [["float32", [3]]]):
            answers = group.sum(0, layout)
            assert answers == [{"digests": [expected(2, 0, layout)]}] * 2


def test_nothing_is_left_behind():
    before = set(os.listdir("/dev/shm"))
    with group_of(2) as group:
        group.sum(0, [["float32", [100_000]]])
        assert set(os.listdir("/dev/shm")) == before
    assert set(os.listdir("/dev/shm")) == before


def test_another_host_and_another_container_are_told():
    peers = Peers(0, 2)
    there = Peers(1, 2)
    address = there.address
    try:
        assert peers.connect([[], [1, 2, *address[2:]]]) == (
            "worker 1 is on another host"
        )
        high, low, pid, started, *doors = address
        assert "out of sight" in peers.connect(
            [[], [high, low, pid, started + 1, *doors]]
        )
    finally:
        peers.close()
        there.close()
