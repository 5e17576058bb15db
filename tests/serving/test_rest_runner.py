"""The queue: what is joined, filled up, given up and refused."""

import asyncio
import threading

import numpy as np
import pytest

from kerascale.serving.server.batching import Runner
from kerascale.serving.server.metrics import Metrics
from kerascale.serving.server.settings import Batching
from kerascale.serving.server.status import StatusError


class Signature:
    """Doubles its input; remembers how many rows it saw at once, and can be held."""

    def __init__(self):
        self.seen = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def rows(self, arrays):
        return len(arrays["x"])

    def run(self, arrays):
        self.may_go_on.wait(30)
        self.seen.append(len(arrays["x"]))
        if (arrays["x"] < 0).any():
            raise StatusError("INVALID_ARGUMENT", "negative")
        return {"y": arrays["x"] * 2}


def _array(*values):
    return {"x": np.array(values, np.float32)}


def _run(scenario, *, max_queued=100, **batching):
    async def main():
        runner = Runner(Batching(**batching), max_queued, Metrics())
        signature = Signature()
        try:
            return await scenario(runner, signature)
        finally:
            signature.may_go_on.set()
            runner.close()

    return asyncio.run(main())


def test_what_comes_while_the_threads_are_busy_is_one_batch():
    async def scenario(runner, signature):
        signature.may_go_on.clear()
        first = asyncio.create_task(runner.run(signature, _array(0)))
        await asyncio.sleep(0.05)
        others = [
            asyncio.create_task(runner.run(signature, _array(i, i + 0.5)))
            for i in range(1, 6)
        ]
        await asyncio.sleep(0.05)
        signature.may_go_on.set()
        answers = await asyncio.gather(first, *others)
        assert [list(answer["y"]) for answer in answers[1:]] == [
            [2 * i, 2 * i + 1] for i in range(1, 6)
        ]
        # No request is cut: 8 rows take four of two.
        assert signature.seen == [1, 8, 2]

    _run(scenario, threads=1, max_batch_size=8)


def test_a_batch_waits_for_its_time_and_no_longer():
    async def scenario(runner, signature):
        one = asyncio.create_task(runner.run(signature, _array(1)))
        await asyncio.sleep(0.05)
        assert signature.seen == []
        two = asyncio.create_task(runner.run(signature, _array(2)))
        await asyncio.gather(one, two)
        assert signature.seen == [2]
        # A full one does not wait.
        started = asyncio.get_running_loop().time()
        await asyncio.gather(*(runner.run(signature, _array(i)) for i in range(4)))
        assert asyncio.get_running_loop().time() - started < 0.25
        assert signature.seen == [2, 4]

    _run(scenario, threads=2, max_batch_size=4, timeout_seconds=0.3)


def test_batches_are_filled_up_to_the_sizes_that_are_allowed():
    async def scenario(runner, signature):
        answers = await asyncio.gather(
            *(runner.run(signature, _array(i)) for i in range(3))
        )
        assert [answer["y"].tolist() for answer in answers] == [[0], [2], [4]]
        assert signature.seen == [4]

    _run(scenario, threads=1, max_batch_size=8, timeout_seconds=0.05, sizes=(4, 8))


def test_a_batch_that_fails_is_run_request_by_request():
    async def scenario(runner, signature):
        answers = await asyncio.gather(
            *(runner.run(signature, _array(i)) for i in (1, -1, 2)),
            return_exceptions=True,
        )
        assert [signature.seen[0], sorted(signature.seen[1:])] == [3, [1, 1, 1]]
        assert answers[0]["y"] == [2]
        assert answers[1].message == "negative"
        assert answers[2]["y"] == [4]

    _run(scenario, threads=1, timeout_seconds=0.05)


def test_the_queue_has_an_end_and_what_is_given_up_is_not_run():
    async def scenario(runner, signature):
        signature.may_go_on.clear()
        running = asyncio.create_task(runner.run(signature, _array(0)))
        await asyncio.sleep(0.05)
        waiting = [
            asyncio.create_task(runner.run(signature, _array(1))) for _ in range(3)
        ]
        await asyncio.sleep(0.05)
        with pytest.raises(StatusError, match="3 requests waiting") as refused:
            await runner.run(signature, _array(2))
        assert refused.value.http == 503
        waiting[1].cancel()
        signature.may_go_on.set()
        await asyncio.gather(running, *waiting, return_exceptions=True)
        assert signature.seen == [1, 2]
        # And there is room again.
        assert (await runner.run(signature, _array(3)))["y"] == [6]

    _run(scenario, threads=1, max_queued=3)


def test_without_batching_nothing_is_joined():
    async def scenario(runner, signature):
        await asyncio.gather(*(runner.run(signature, _array(i)) for i in range(5)))
        assert signature.seen == [1] * 5

    _run(scenario, enabled=False, threads=2)
